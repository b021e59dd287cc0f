/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What somebody's list of devices means for a card: parts of it, and what has to go along. Pure. */
#ifndef QG_GPU_LISTED_H
#define QG_GPU_LISTED_H

#include "gpu/card.h"

/* The devices of a list that are among available (lines of Available), as a mapping with the
 * address and the port of each as keys. Anything but a list (a word that means a card) lists
 * nothing; texts that name no device are left out. New mapping; NULL on failure. */
json_t *qg_listed(const json_t *available, const json_t *devices, struct qg_err *err) QG_MUST_CHECK;

/* The card's functions that are listed (or, with missing, are not), as addresses. New list. */
json_t *qg_listed_functions(const json_t *card, const json_t *listed, bool missing,
                            struct qg_err *err) QG_MUST_CHECK;

/* The devices that share the card's group, block it and are not listed, as addresses. New list. */
json_t *qg_listed_blocks(const json_t *card, const json_t *listed,
                         struct qg_err *err) QG_MUST_CHECK;

/* The card's functions (listed NULL: all) that a driver of dom0 holds, as `ADDRESS (DRIVER)`. Those
 * of which nothing is known are left out. New list. */
json_t *qg_listed_drivers(const json_t *card, const json_t *listed,
                          struct qg_err *err) QG_MUST_CHECK;

/* `a, b and c` of a list of texts; owned by the caller, NULL on failure. */
char *qg_listed_text(const json_t *list, struct qg_err *err) QG_MUST_CHECK;

#endif
