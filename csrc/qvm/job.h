/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A state about one qube from end to end: read at once, plan everything, then do it action by
 * action. */
#ifndef QG_QVM_JOB_H
#define QG_QVM_JOB_H

#include "qvm/action.h"

/* One action of a job as it was asked for. */
struct qg_request_action {
    const struct qg_action *action;
    const json_t *body; /* borrowed; NULL: empty */
    bool pass, open;    /* as struct qg_block's */
};

/* Runs the actions on the qube in the order given. framed: the comment has a headline for each
 * action, as qvm.vm's has; otherwise it is the one action's own. Answers go to report->data. */
int qg_job_run(struct qg_run *run, const char *name, const struct qg_request_action *actions,
               size_t count, bool framed, struct qg_report *report, struct qg_err *err);

/* The qube's name in a function's arguments, borrowed; NULL with QG_ERR_INVALID where there is
 * none. */
const char *qg_qvm_name(const json_t *args, struct qg_err *err);

/* Functions about templates that dom0's own program installs. */
qg_function qg_template_info, qg_template_install, qg_template_installed;

/* The functions of qvm; args: {name: text, body: what the user wrote}. */
extern const struct qg_function_entry qg_qvm_functions[];

#endif
