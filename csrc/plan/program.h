/* SPDX-License-Identifier: GPL-3.0-or-later */
/* QG_STEP_PROGRAM: one of dom0's own programs, its output in the log as it comes. */
#ifndef QG_PLAN_PROGRAM_H
#define QG_PLAN_PROGRAM_H

#include "plan/run.h"

enum { QG_PROGRAM_TIMEOUT_S = 600 };

/* Runs the program of a step to its end; the exit code decides. The end of what it said is in
 * step->extra's `output`, or in the error. */
int qg_program_run(struct qg_run *run, const struct qg_step *step, struct qg_err *err);

/* The command line of a step as people read it. Owned by the caller; NULL on failure. */
char *qg_program_line(const json_t *argv, struct qg_err *err) QG_MUST_CHECK;

#endif
