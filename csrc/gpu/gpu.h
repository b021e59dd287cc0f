/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The functions of qvm_gpu. */
#ifndef QG_GPU_GPU_H
#define QG_GPU_GPU_H

#include "plan/run.h"

/* args: {name?, …} as the user wrote them, one mapping. */
extern const struct qg_function_entry qg_gpu_functions[];

#endif
