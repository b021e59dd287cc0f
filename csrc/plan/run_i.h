/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The inside of a run, for plan/ alone. */
#ifndef QG_PLAN_RUN_I_H
#define QG_PLAN_RUN_I_H

#include "plan/run.h"

struct qg_run {
    char *socket, *root, *record_dir;
    struct qg_log log;
    struct qg_client client;
    struct qg_host *host;    /* below root */
    struct qg_host *records; /* the minion's own files, whatever root is; NULL: no record_dir */
    json_t *pci;             /* dom0's devices; NULL: not asked for yet */
    bool pci_fresh;          /* asked for since qg_run_begin */
    json_t *assigned;        /* port > name of the qube that this run gave it to */
    json_t *dry_index;       /* qube > number of its plan in dry */
    struct qg_plan *dry;     /* what a dry run's states would have done, a plan a qube */
    size_t dry_count;
};

/* Keeps a dry run's steps for the states after it; the plan's steps are moved out. */
int qg_run_keep(struct qg_run *run, struct qg_plan *plan, size_t from, size_t to,
                struct qg_err *err);

/* Notes that a step of this run assigned a device. */
int qg_run_note_assigned(struct qg_run *run, const struct qg_step *step, struct qg_err *err);

/* The record of a creation: written before it begins, with the uuid once known, removed last. */
int qg_record_write(struct qg_run *run, const char *name, const char *source, const char *uuid,
                    struct qg_err *err);
int qg_record_remove(struct qg_run *run, const char *name, struct qg_err *err);

enum qg_outcome { QG_OUTCOME_NOT_DONE, QG_OUTCOME_DONE, QG_OUTCOME_UNKNOWN };

/* True where a call may have been done although its answer did not arrive. */
bool qg_err_is_uncertain(const struct qg_err *failure);

/* Asks qubesd whether a step whose answer was lost was done all the same; where it was killed,
 * until it is back. */
enum qg_outcome qg_step_outcome(struct qg_run *run, const struct qg_step *step);

/* Removes a qube, asking again where the answer is lost. One that is not there is removed. */
int qg_run_remove_qube(struct qg_run *run, const char *name, struct qg_err *err);

#endif
