/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Conditions: exists, missing, running, halted. They change nothing. */
#include "qvm/action.h"

#include "base/text.h"

#include <string.h>
#include <strings.h>

static const char *const keys[] = {"flags", NULL};

static int existence_need(struct qg_block *block, struct qg_need *need, struct qg_err *err) {
    bool template;
    if (qg_body_flag(&block->body, "template", &template, err) < 0)
        return -1;
    /* the class is a property; without that wish, the shortest answer tells */
    if (template)
        need->want.properties = true;
    else
        need->want.power = true;
    return 0;
}

/* True where the qube is there and, where the flag `template` asks for it, a TemplateVM. */
static int is_there(struct qg_job *job, struct qg_block *block, bool *there, struct qg_err *err) {
    bool template;
    if (qg_body_flag(&block->body, "template", &template, err) < 0)
        return -1;
    *there =
        job->qube.exists && (!template || strcmp(qg_qube_class(&job->qube), "TemplateVM") == 0);
    return 0;
}

static int exists_plan(struct qg_job *job, struct qg_block *block, struct qg_err *err) {
    bool there;
    if (is_there(job, block, &there, err) < 0)
        return -1;
    return there ? qg_block_say(block, err, "Qube %s exists", job->name)
                 : qg_block_fail(block, err, "Qube %s does not exist", job->name);
}

static int missing_plan(struct qg_job *job, struct qg_block *block, struct qg_err *err) {
    bool there;
    if (is_there(job, block, &there, err) < 0)
        return -1;
    return there ? qg_block_fail(block, err, "Qube %s exists", job->name)
                 : qg_block_say(block, err, "Qube %s does not exist", job->name);
}

static int power_need(struct qg_block *block, struct qg_need *need, struct qg_err *err) {
    (void)block;
    (void)err;
    need->want.power = true;
    return 0;
}

static int running_plan(struct qg_job *job, struct qg_block *block, struct qg_err *err) {
    bool exists;
    if (qg_job_must_exist(job, block, &exists, err) < 0 || !exists)
        return exists ? -1 : 0;
    bool running = strcmp(job->qube.power, "Running") == 0;
    return running ? qg_block_say(block, err, "Qube %s is running", job->name)
                   : qg_block_fail(block, err, "Qube %s is %s, not running", job->name,
                                   job->qube.power);
}

/* A qube that is missing does not run either, as upstream has it. */
static int halted_plan(struct qg_job *job, struct qg_block *block, struct qg_err *err) {
    if (!job->qube.exists)
        return qg_block_say(block, err, "[SKIP] Qube %s does not exist", job->name);
    bool halted = strcmp(job->qube.power, "Halted") == 0;
    return halted
               ? qg_block_say(block, err, "[SKIP] Halted")
               : qg_block_fail(block, err, "Qube %s is %s, not halted", job->name, job->qube.power);
}

const struct qg_action qg_action_exists = {"exists", keys, existence_need, exists_plan};
const struct qg_action qg_action_missing = {"missing", keys, existence_need, missing_plan};
const struct qg_action qg_action_running = {"running", keys, power_need, running_plan};
const struct qg_action qg_action_halted = {"halted", keys, power_need, halted_plan};
