/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The state qvm_gpu.restarted: after the driver's installation a running qube has to boot again. */
#include "base/text.h"
#include "gpu/functions.h"
#include "gpu/survey.h"
#include "plan/power.h"
#include "qvm/job.h"

#include <string.h>

static const char changes_key[] = "qvm_gpu.restarted";

static int restart_need(struct qg_block *block, struct qg_need *need, struct qg_err *err) {
    (void)block;
    (void)err;
    need->want.power = true;
    return 0;
}

/* A step with the change `qvm_gpu.restarted` > qube > what. */
static int add(struct qg_job *job, enum qg_step_kind kind, const char *what, const char *to,
               json_t *options, struct qg_err *err) {
    QG_AUTO(json) json_t *extra = options;
    QG_AUTO(json) json_t *old = qg_value_text(job->qube.power, err);
    if (!extra || !old)
        return qg_err_oom(err);
    struct qg_step *step =
        qg_plan_add(&job->plan, kind, &job->qube, NULL, NULL, QG_STEAL(extra), err);
    return step ? qg_step_change_take(step, json_pack("[s,s,s]", changes_key, job->name, what),
                                      QG_STEAL(old), qg_value_text(to, err), err)
                : -1;
}

/* Both timeouts are there only where the user gave one: the steps have defaults of their own. */
static json_t *options_of(long long timeout, bool force) {
    return timeout ? json_pack("{s:b, s:b, s:I}", "force", force, "kill", force, "timeout",
                               (json_int_t)timeout)
                   : json_pack("{s:b, s:b}", "force", force, "kill", force);
}

static int plan_steps(struct qg_job *job, struct qg_block *block, long long timeout, bool force,
                      struct qg_err *err) {
    if (strcmp(job->qube.power, "Paused") == 0 &&
        add(job, QG_STEP_UNPAUSE, "unpause", "Running", json_object(), err) < 0)
        return -1;
    if (add(job, QG_STEP_SHUTDOWN, "shutdown", "Halted", options_of(timeout, force), err) < 0 ||
        add(job, QG_STEP_START, "start", "Running", options_of(timeout, false), err) < 0)
        return -1;
    return qg_block_say(block, err, "%s %s shut down and started again", job->name,
                        job->test ? "would be" : "was");
}

static int restart_plan(struct qg_job *job, struct qg_block *block, struct qg_err *err) {
    const json_t *given;
    long long timeout;
    bool force;
    if (qg_body_int(&block->body, "timeout", 0, &timeout, err) < 0 ||
        qg_body_bool(&block->body, "force", false, &force, err) < 0 ||
        qg_body_find(&block->body, "timeout", &given, err) < 0)
        return -1;
    if (given && qg_power_check_timeout(timeout, err) < 0)
        return -1;
    if (!job->test &&
        qg_power_settle(job->run, &job->qube, timeout ? timeout : QG_SETTLE_TIMEOUT_S, err) < 0)
        return -1;
    if (!job->qube.exists)
        return qg_block_fail(block, err, "Qube %s does not exist", job->name);
    if (strcmp(job->qube.power, "Halted") == 0)
        return qg_block_say(block, err, "%s is halted: its next start is a fresh one", job->name);
    if (strcmp(job->qube.power, "Suspended") == 0 || strcmp(job->qube.power, "Crashed") == 0)
        return qg_block_fail(block, err, "%s is %s: neither running nor halted", job->name,
                             job->qube.power);
    return plan_steps(job, block, timeout, force, err);
}

static const struct qg_action action_restart = {"restarted", NULL, restart_need, restart_plan, 0};

int qg_gpu_restarted(struct qg_run *run, const json_t *args, struct qg_report *report,
                     struct qg_err *err) {
    static const char *const keys[] = {"name", "timeout", "force", NULL};
    const struct qg_request_action restart = {.action = &action_restart, .body = args};
    const char *name = qg_value_get_text(args, "name");
    if (qg_args_check(args, "restarted", keys, err) < 0)
        return -1;
    if (!name || strcmp(name, "dom0") == 0)
        return qg_err_set(err, QG_ERR_INVALID, "name: a qube's name is expected%s",
                          name ? ", not dom0: reboot that yourself" : "");
    return qg_args_blame("restarted", qg_job_run(run, name, &restart, 1, false, report, err), err);
}
