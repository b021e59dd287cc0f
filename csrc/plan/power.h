/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Steps that take a qube's time: started and stopped by qubesd, awaited by its events. */
#ifndef QG_PLAN_POWER_H
#define QG_PLAN_POWER_H

#include "plan/run.h"

enum { QG_SHUTDOWN_TIMEOUT_S = 60, QG_SETTLE_TIMEOUT_S = 120, QG_POWER_TIMEOUT_MAX_S = 24 * 3600 };

/* QG_STEP_START and QG_STEP_SHUTDOWN; what of a step they need is in plan/step.h. */
int qg_power_start(struct qg_run *run, const struct qg_step *step, struct qg_err *err);
int qg_power_shutdown(struct qg_run *run, const struct qg_step *step, struct qg_err *err);

/* True for a state that a qube only passes through: it starts or dies. */
bool qg_power_is_passing(const char *state);

/* Waits until an observed qube has left such a state, and observes its power again; at once where
 * it is in none. QG_ERR_TIMEOUT where it stays there. */
int qg_power_settle(struct qg_run *run, struct qg_qube *qube, long long seconds,
                    struct qg_err *err);

#endif
