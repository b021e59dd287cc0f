/* SPDX-License-Identifier: GPL-3.0-or-later */
/* absent and clone. */
#include "qvm/action.h"

#include "base/text.h"
#include "plan/power.h"
#include "qvm/create.h"

#include <stdlib.h>
#include <string.h>

static const char *const absent_keys[] = {"flags", "shutdown", "timeout", NULL};
static const char *const clone_keys[] = {"source",   "path",    "devices", "flags",
                                         "shutdown", "timeout", NULL};

static const char *const absent_flags[] = {"just-db", "force-root", "quiet", "shutdown", NULL};
static const char *const clone_flags[] = {"shutdown", "quiet", "force-root", NULL};

/* How long a shutdown may take before the qube counts as one that does not go. */
static int take_timeout(struct qg_body *body, long long *timeout, struct qg_err *err) {
    return qg_body_int(body, "timeout", QG_SHUTDOWN_TIMEOUT_S, timeout, err) < 0
               ? -1
               : qg_power_check_timeout(*timeout, err);
}

static int absent_need(struct qg_block *block, struct qg_need *need, struct qg_err *err) {
    (void)block;
    (void)err;
    need->want.power = true;
    need->want.properties = true;
    return 0;
}

/* A running qube is shut down first, and killed if it does not go (as upstream's absent does). */
static int stop_first(struct qg_job *job, struct qg_block *block, long long timeout,
                      struct qg_err *err) {
    if (strcmp(job->qube.power, "Halted") == 0)
        return 0;
    bool paused = strcmp(job->qube.power, "Paused") == 0;
    json_t *options =
        json_pack("{s:b, s:b, s:I}", "force", 1, "kill", 1, "timeout", (json_int_t)timeout);
    QG_AUTO(json) json_t *old = qg_value_text(job->qube.power, err);
    if (!options || !old)
        return qg_err_oom(err);
    return qg_job_step_take(job, block, paused ? QG_STEP_KILL : QG_STEP_SHUTDOWN, NULL, NULL,
                            options, "power_state", QG_STEAL(old), qg_value_text("Halted", err),
                            err);
}

/* A dry run says what qubesd will refuse, unless something that is no state of ours is still to
 * change it. */
static int say_users(struct qg_job *job, struct qg_err *err) {
    QG_AUTO(buf) struct qg_buf users = {0};
    struct qg_err problem = {0};
    if (qg_run_users(job->run, job->name, true, &users, &problem) < 0)
        return qg_may_stay_unknown(&problem, err);
    return users.length ? qg_job_warn(job, err, "%s is in use, and cannot be removed before: %s.",
                                      job->name, users.data)
                        : 0;
}

static int absent_plan(struct qg_job *job, struct qg_block *block, struct qg_err *err) {
    if (strcmp(job->name, "dom0") == 0)
        return qg_err_set(err, QG_ERR_INVALID, "name: dom0 cannot be removed");
    long long timeout;
    if (qg_job_know_flags(job, block, absent_flags, err) < 0 ||
        qg_body_use(&block->body, "shutdown", err) < 0 ||
        take_timeout(&block->body, &timeout, err) < 0)
        return -1;
    if (!job->test && qg_power_settle(job->run, &job->qube, QG_SETTLE_TIMEOUT_S, err) < 0)
        return -1;
    if (!job->qube.exists)
        return qg_block_say(block, err, "[SKIP] The VM with the name '%s' is already missing.",
                            job->name);
    if (job->test && say_users(job, err) < 0)
        return -1;
    QG_AUTO(json) json_t *old = qg_value_text(qg_qube_class(&job->qube), err);
    if (!old || stop_first(job, block, timeout, err) < 0 ||
        qg_block_say(block, err, "%s qube %s", job->test ? "Would remove" : "Removed", job->name) <
            0)
        return -1;
    return qg_job_step_take(job, block, QG_STEP_REMOVE, NULL, NULL, NULL, job->name, QG_STEAL(old),
                            json_null(), err);
}

static int clone_need(struct qg_block *block, struct qg_need *need, struct qg_err *err) {
    (void)block;
    (void)err;
    need->want.properties = true;
    return 0;
}

/* The source is the key, or the first word. */
static char *source_of(struct qg_block *block, struct qg_err *err) {
    struct qg_err problem = {0};
    QG_AUTO_STR char *source = qg_body_text(&block->body, "source", &problem);
    const char *word = json_string_value(json_array_get(block->body.words, 0));
    if (problem.kind != QG_ERR_NONE) {
        *err = problem;
        return NULL;
    }
    if (!source && word)
        source = strdup(word);
    if (source && *source)
        return QG_STEAL(source);
    qg_err_set(err, QG_ERR_INVALID, "source: missing, the qube to be cloned is expected");
    return NULL;
}

/* What is running is cloned as its volumes were last saved; with a timeout (s) it is shut down
 * before. */
static int check_source(struct qg_job *job, struct qg_block *block, const char *source,
                        long long timeout, struct qg_qube *qube, struct qg_err *err) {
    const struct qg_want want = {.properties = true, .power = true};
    if (qg_run_observe(job->run, source, &want, false, job->test, qube, err) < 0)
        return -1;
    if (!qube->exists || strcmp(qube->power, "Halted") == 0)
        return 0;
    if (!timeout)
        return qg_job_warn(job, err,
                           "Source %s is %s: it is cloned as it was when it last shut down.",
                           source, qube->power);
    json_t *options = json_pack("{s:b, s:I}", "force", 1, "timeout", (json_int_t)timeout);
    struct qg_step *step =
        options ? qg_plan_add(&job->plan, QG_STEP_SHUTDOWN, qube, NULL, NULL, options, err) : NULL;
    if (!step)
        return qg_err_oom(err);
    json_t *path = json_pack("[s,s,s]", "qvm.clone", source, "power_state");
    (void)block;
    return qg_step_change_take(step, path, qg_value_text("Running", err),
                               qg_value_text("Halted", err), err);
}

static int clone_plan(struct qg_job *job, struct qg_block *block, struct qg_err *err) {
    bool shutdown, flagged, devices;
    long long timeout;
    QG_AUTO_STR char *source = source_of(block, err);
    if (!source || qg_body_bool(&block->body, "shutdown", false, &shutdown, err) < 0 ||
        qg_body_flag(&block->body, "shutdown", &flagged, err) < 0 ||
        qg_job_know_flags(job, block, clone_flags, err) < 0 ||
        take_timeout(&block->body, &timeout, err) < 0 ||
        qg_body_bool(&block->body, "devices", false, &devices, err) < 0)
        return -1;
    const json_t *path;
    if (qg_body_find(&block->body, "path", &path, err) < 0)
        return -1;
    if (!qg_value_is_empty(path))
        return qg_err_set(err, QG_ERR_INVALID, "path: not known to Qubes 4, leave it out");
    if (strcmp(source, job->name) == 0)
        return qg_err_set(err, QG_ERR_INVALID, "source: %s cannot be cloned to itself", source);
    if (qg_create_resume(job, block, err) < 0)
        return -1;
    if (job->qube.exists)
        return qg_block_say(block, err, "[SKIP] A VM with the name '%s' already exists.",
                            job->name);
    QG_AUTO(qube) struct qg_qube qube = {0};
    if (check_source(job, block, source, shutdown || flagged ? timeout : 0, &qube, err) < 0)
        return -1;
    QG_AUTO_STR char *klass = strdup(qube.exists ? qg_qube_class(&qube) : "StandaloneVM");
    const char *label = qg_properties_value(&qube.properties, "label");
    if (!klass)
        return qg_err_oom(err);
    const struct qg_creation creation = {.klass = klass,
                                         .source = source,
                                         .label = *label ? label : "red",
                                         .clone = true,
                                         .with_private = true,
                                         .with_devices = devices,
                                         .more = block->open};
    return qg_create_plan(job, block, &creation, err);
}

const struct qg_action qg_action_absent = {"absent", absent_keys, absent_need, absent_plan, 0};
const struct qg_action qg_action_clone = {"clone", clone_keys, clone_need, clone_plan, 0};
