/* SPDX-License-Identifier: GPL-3.0-or-later */
/* qvm_gpu.present: a qube with the card, from one state. */
#ifndef QG_GPU_PRESENT_H
#define QG_GPU_PRESENT_H

#include "plan/run.h"

/* args: {name, …} with every key optional but name; see the function's documentation in salt_ext.
 */
int qg_gpu_present(struct qg_run *run, const json_t *args, struct qg_report *report,
                   struct qg_err *err);

#endif
