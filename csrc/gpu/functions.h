/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The functions of qvm_gpu beside map and present; see struct qg_function_entry. */
#ifndef QG_GPU_FUNCTIONS_H
#define QG_GPU_FUNCTIONS_H

#include "plan/run.h"

/* Answers the cards as data (card.h). No arguments. */
qg_function qg_gpu_cards;

/* Answers {passed, card, checks}. Arguments: devices, force, qube or name, template or source,
 * label, memory or mem, root_size, all optional. */
qg_function qg_gpu_preflight;

/* A state: fails where a check of preflight does. Arguments as preflight's. */
qg_function qg_gpu_ready;

/* States: hide the card from dom0, or no longer. Arguments: devices, force. */
qg_function qg_gpu_hidden;
qg_function qg_gpu_shown;

/* A state: the qube is gone. Arguments: name. */
qg_function qg_gpu_absent;

/* A state: the qube has the card and no other qube has. Arguments: name, devices, force. */
qg_function qg_gpu_attached;

/* A state: a running qube was shut down and started again, a halted one is left alone. Arguments:
 * name, timeout (s, for each of both), force. */
qg_function qg_gpu_restarted;

/* Answers {result, comment, changes, steps} of a state's dry run. Arguments: state, and the
 * state's own. */
qg_function qg_gpu_plan;

/* Answers the report as text, HTML or data. Arguments: format (text, html or data), mask, and
 * preflight's. */
qg_function qg_gpu_report;

#endif
