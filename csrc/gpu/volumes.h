/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The part of qvm_gpu.present about the qube's volumes. */
#ifndef QG_GPU_VOLUMES_H
#define QG_GPU_VOLUMES_H

#include "qvm/action.h"

/* Body: {root_size, private_size}, both optional (size.h). Volumes only grow: a larger one is as it
 * should be. */
extern const struct qg_action qg_action_volumes;

#endif
