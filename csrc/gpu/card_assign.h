/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The part of qvm_gpu.present about the card. */
#ifndef QG_GPU_CARD_ASSIGN_H
#define QG_GPU_CARD_ASSIGN_H

#include "qvm/action.h"

/* Body: {devices, exact, permissive, strict_reset, force}, all optional. devices is a list of
 * devices, taken as they are but for dom0's display and bridges, and of words of qg_cards_pick, or
 * one such word, which has to be a card that can be given away; default `auto`. Ends a creation
 * that goes on: the first assignment comes behind it. */
extern const struct qg_action qg_action_card;

#endif
