/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Power states: start, shutdown, kill, pause, unpause. */
#include "qvm/action.h"

#include "base/text.h"
#include "plan/power.h"

#include <string.h>

static const char *const start_keys[] = {"drive", "hddisk",  "cdrom", "custom-config",
                                         "flags", "timeout", NULL};
static const char *const stop_keys[] = {"exclude", "flags", "timeout", NULL};
static const char *const kill_keys[] = {"flags", NULL};
static const char *const pause_keys[] = {"timeout", NULL};

/* Those of upstream's; some say what is so anyway. */
static const char *const start_flags[] = {"quiet", "debug", "install-windows-tools", NULL};
static const char *const stop_flags[] = {"quiet", "wait", "force", "all", "kill", NULL};

static int power_need(struct qg_block *block, struct qg_need *need, struct qg_err *err) {
    (void)block;
    (void)err;
    need->want.power = true;
    return 0;
}

/* The step, with the change power_state: old -> new. */
static int add_power_step(struct qg_job *job, struct qg_block *block, enum qg_step_kind kind,
                          json_t *extra, const char *state, struct qg_err *err) {
    QG_AUTO(json) json_t *owned = extra;
    if (strcmp(job->name, "dom0") == 0)
        return qg_err_set(err, QG_ERR_INVALID, "name: dom0 stays %s, it has no other power state",
                          job->qube.power);
    QG_AUTO(json) json_t *old = qg_value_text(job->qube.power, err);
    QG_AUTO(json) json_t *new = qg_value_text(state, err);
    if (!old || !new ||
        qg_block_say(block, err, "%s: %s -> %s", job->name, job->qube.power, state) < 0)
        return -1;
    return qg_job_step_take(job, block, kind, NULL, NULL, QG_STEAL(owned), "power_state",
                            QG_STEAL(old), QG_STEAL(new), err);
}

/* A qube that starts or dies at the moment is waited for; a dry run plans from where it is. */
static int settle(struct qg_job *job, struct qg_block *block, long long timeout, bool *exists,
                  struct qg_err *err) {
    if (!job->test &&
        qg_power_settle(job->run, &job->qube, timeout ? timeout : QG_SETTLE_TIMEOUT_S, err) < 0)
        return -1;
    return qg_job_must_exist(job, block, exists, err);
}

int qg_power_check_timeout(long long timeout, struct qg_err *err) {
    return timeout >= 1 && timeout <= QG_POWER_TIMEOUT_MAX_S
               ? 0
               : qg_err_set(err, QG_ERR_INVALID,
                            "timeout: %lld is not a number of seconds from 1 to %d", timeout,
                            QG_POWER_TIMEOUT_MAX_S);
}

/* The seconds to wait, 0 where none are given: the usual ones. */
static int take_timeout(struct qg_body *body, long long *timeout, struct qg_err *err) {
    const json_t *given;
    if (qg_body_int(body, "timeout", 0, timeout, err) < 0 ||
        qg_body_find(body, "timeout", &given, err) < 0)
        return -1;
    return given ? qg_power_check_timeout(*timeout, err) : 0;
}

/* The same within the seconds that the body gives. */
static int settle_in_time(struct qg_job *job, struct qg_block *block, bool *exists,
                          struct qg_err *err) {
    long long timeout;
    return take_timeout(&block->body, &timeout, err) < 0 ? -1
                                                         : settle(job, block, timeout, exists, err);
}

static bool is_state(const struct qg_job *job, const char *state) {
    return strcmp(job->qube.power, state) == 0;
}

/* Options of qvm-start that need a running block backend or are gone from the 4.x tool. */
static int refuse_start_options(struct qg_body *body, struct qg_err *err) {
    static const char *const options[] = {"drive", "hddisk", "cdrom", "custom_config"};
    const json_t *value;
    for (size_t i = 0; i < QG_ARRAY_LEN(options); i++) {
        if (qg_body_find(body, options[i], &value, err) < 0)
            return -1;
        if (!qg_value_is_empty(value))
            return qg_err_set(
                err, QG_ERR_INVALID,
                "%s: starting from another drive is not supported, attach it with devices or use "
                "qvm-start",
                options[i]);
    }
    return 0;
}

int qg_power_plan_start(struct qg_job *job, struct qg_block *block, long long timeout,
                        struct qg_err *err) {
    bool exists;
    if (settle(job, block, timeout, &exists, err) < 0)
        return -1;
    if (!exists)
        return 0;
    if (is_state(job, "Running"))
        return qg_block_say(block, err, "[SKIP] Running");
    if (is_state(job, "Paused"))
        return add_power_step(job, block, QG_STEP_UNPAUSE, NULL, "Running", err);
    if (is_state(job, "Suspended"))
        return qg_block_fail(
            block, err, "Qube %s is Suspended: it goes on when the computer wakes up", job->name);
    /* what is left of a crashed domain keeps it from being started */
    if (is_state(job, "Crashed") &&
        add_power_step(job, block, QG_STEP_KILL, NULL, "Halted", err) < 0)
        return -1;
    json_t *extra = timeout ? json_pack("{s:I}", "timeout", (json_int_t)timeout) : NULL;
    if (timeout && !extra)
        return qg_err_oom(err);
    return add_power_step(job, block, QG_STEP_START, extra, "Running", err);
}

static int start_plan(struct qg_job *job, struct qg_block *block, struct qg_err *err) {
    bool exists;
    long long timeout;
    if (refuse_start_options(&block->body, err) < 0 ||
        qg_job_know_flags(job, block, start_flags, err) < 0 ||
        take_timeout(&block->body, &timeout, err) < 0 ||
        qg_job_must_exist(job, block, &exists, err) < 0)
        return -1;
    return exists ? qg_power_plan_start(job, block, timeout, err) : 0;
}

/* The options of a shutdown for its step. */
static json_t *shutdown_options(struct qg_block *block, struct qg_err *err) {
    bool force, kill;
    long long timeout;
    if (qg_body_flag(&block->body, "force", &force, err) < 0 ||
        qg_body_flag(&block->body, "kill", &kill, err) < 0 ||
        qg_body_int(&block->body, "timeout", QG_SHUTDOWN_TIMEOUT_S, &timeout, err) < 0 ||
        qg_power_check_timeout(timeout, err) < 0)
        return NULL;
    json_t *options = json_pack("{s:b, s:b, s:b, s:I}", "force", force, "kill", kill || force,
                                "now", kill, "timeout", (json_int_t)timeout);
    if (!options)
        qg_err_oom(err);
    return options;
}

/* Missing and halted are both fine: nothing runs. */
static int is_off(struct qg_job *job, struct qg_block *block, bool *off, struct qg_err *err) {
    *off = !job->qube.exists || is_state(job, "Halted");
    if (!*off)
        return 0;
    return job->qube.exists ? qg_block_say(block, err, "[SKIP] Halted")
                            : qg_block_say(block, err, "[SKIP] Qube %s does not exist", job->name);
}

static int shutdown_plan(struct qg_job *job, struct qg_block *block, struct qg_err *err) {
    bool off;
    QG_AUTO(json) json_t *options = shutdown_options(block, err);
    if (!options || qg_body_use(&block->body, "exclude", err) < 0 ||
        qg_job_know_flags(job, block, stop_flags, err) < 0)
        return -1;
    bool now = json_is_true(json_object_get(options, "now"));
    if (!now && !job->test &&
        qg_power_settle(job->run, &job->qube,
                        json_integer_value(json_object_get(options, "timeout")), err) < 0)
        return -1;
    if (is_off(job, block, &off, err) < 0)
        return -1;
    if (off)
        return 0;
    if (now)
        return add_power_step(job, block, QG_STEP_KILL, NULL, "Halted", err);
    /* a paused qube cannot answer a shutdown request */
    if (is_state(job, "Paused") &&
        add_power_step(job, block, QG_STEP_UNPAUSE, NULL, "Running", err) < 0)
        return -1;
    return add_power_step(job, block, QG_STEP_SHUTDOWN, QG_STEAL(options), "Halted", err);
}

static int kill_plan(struct qg_job *job, struct qg_block *block, struct qg_err *err) {
    bool off;
    if (qg_job_know_flags(job, block, stop_flags, err) < 0 || is_off(job, block, &off, err) < 0)
        return -1;
    return off ? 0 : add_power_step(job, block, QG_STEP_KILL, NULL, "Halted", err);
}

static int pause_plan(struct qg_job *job, struct qg_block *block, struct qg_err *err) {
    bool exists;
    if (settle_in_time(job, block, &exists, err) < 0)
        return -1;
    if (!exists)
        return 0;
    if (!is_state(job, "Running"))
        return qg_block_say(block, err, "[SKIP] %s: not running", job->qube.power);
    return add_power_step(job, block, QG_STEP_PAUSE, NULL, "Paused", err);
}

static int unpause_plan(struct qg_job *job, struct qg_block *block, struct qg_err *err) {
    bool exists;
    if (settle_in_time(job, block, &exists, err) < 0)
        return -1;
    if (!exists)
        return 0;
    if (!is_state(job, "Paused"))
        return qg_block_say(block, err, "[SKIP] %s: not paused", job->qube.power);
    return add_power_step(job, block, QG_STEP_UNPAUSE, NULL, "Running", err);
}

const struct qg_action qg_action_start = {"start", start_keys, power_need, start_plan, 0};
const struct qg_action qg_action_shutdown = {"shutdown", stop_keys, power_need, shutdown_plan, 0};
const struct qg_action qg_action_kill = {"kill", kill_keys, power_need, kill_plan, 0};
const struct qg_action qg_action_pause = {"pause", pause_keys, power_need, pause_plan, 0};
const struct qg_action qg_action_unpause = {"unpause", pause_keys, power_need, unpause_plan, 0};
