/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Conditions: exists, missing, running, halted. They change nothing. */
#include "qvm/action.h"

#include "base/text.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static const char *const keys[] = {"flags", "check", NULL};
static const char *const flags[] = {"quiet", "template", NULL};

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
    if (qg_body_flag(&block->body, "template", &template, err) < 0 ||
        qg_job_know_flags(job, block, flags, err) < 0 ||
        qg_body_use(&block->body, "check", err) < 0)
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
    if (qg_job_must_exist(job, block, &exists, err) < 0)
        return -1;
    if (!exists)
        return 0;
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

/* The power state in lower case, the way `qvm.state` asks for it and answers. */
static json_t *lower_state(const char *state, struct qg_err *err) {
    QG_AUTO_STR char *lower = strdup(state);
    if (!lower) {
        qg_err_oom(err);
        return NULL;
    }
    for (char *at = lower; *at; at++)
        *at = (char)tolower((unsigned char)*at);
    return qg_value_text(lower, err);
}

/* Passes where the state is one of the words; `status`, or no word at all, always passes. */
static int state_plan(struct qg_job *job, struct qg_block *block, struct qg_err *err) {
    bool exists;
    if (qg_job_must_exist(job, block, &exists, err) < 0)
        return -1;
    if (!exists)
        return 0;
    block->data = lower_state(job->qube.power, err);
    if (!block->data)
        return -1;
    bool passes = json_array_size(block->body.words) == 0;
    size_t i;
    json_t *word;
    json_array_foreach(block->body.words, i, word) {
        const char *text = json_string_value(word);
        passes = passes ||
                 (text && (strcasecmp(text, job->qube.power) == 0 || strcmp(text, "status") == 0));
    }
    return passes ? qg_block_say(block, err, "%s", job->qube.power)
                  : qg_block_fail(block, err, "Qube %s is %s", job->name, job->qube.power);
}

const struct qg_action qg_action_state = {"state", NULL, power_need, state_plan, 0};
const struct qg_action qg_action_exists = {"exists", keys, existence_need, exists_plan, 0};
const struct qg_action qg_action_missing = {"missing", keys, existence_need, missing_plan, 0};
const struct qg_action qg_action_running = {"running", keys, power_need, running_plan, 0};
const struct qg_action qg_action_halted = {"halted", keys, power_need, halted_plan, 0};
