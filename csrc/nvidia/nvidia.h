/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The driver inside a qube: nvidia.*, by their Salt names. */
#ifndef QG_NVIDIA_NVIDIA_H
#define QG_NVIDIA_NVIDIA_H

#include "plan/run.h"

extern const struct qg_function_entry qg_nvidia_functions[];

/* States; each takes a mapping and fails for a key that it does not know. */
qg_function qg_nvidia_driver_installed;
qg_function qg_nvidia_driver_removed;
qg_function qg_nvidia_nouveau_disabled;
qg_function qg_nvidia_prime_offload;
qg_function qg_nvidia_swap_minimized;
qg_function qg_nvidia_kernel_ready;

/* Execution functions: plain data in report->data. */
qg_function qg_nvidia_status;
qg_function qg_nvidia_version;
qg_function qg_nvidia_cards;
qg_function qg_nvidia_plan;

#endif
