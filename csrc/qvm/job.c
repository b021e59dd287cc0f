/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "qvm/job.h"

#include "base/text.h"

#include <stdlib.h>
#include <string.h>

static void job_fini(struct qg_job *job) {
    for (size_t i = 0; i < job->count; i++) {
        qg_body_fini(&job->blocks[i].body);
        qg_buf_fini(&job->blocks[i].comment);
        json_decref(job->blocks[i].data);
        json_decref(job->blocks[i].wanted);
    }
    free(job->blocks);
    qg_qube_fini(&job->qube);
    qg_plan_fini(&job->plan);
    json_decref(job->warnings);
    json_decref(job->label);
}

QG_DEFINE_AUTO_FINI(job, struct qg_job, job_fini)

static void need_fini(struct qg_need *need) {
    json_decref(need->features);
    json_decref(need->classes);
    json_decref(need->volumes);
}

QG_DEFINE_AUTO_FINI(need, struct qg_need, need_fini)

/* Names the action in an error about its body. */
static int name_action(const struct qg_block *block, struct qg_err *err) {
    if (err && err->kind == QG_ERR_INVALID)
        qg_err_at(err, "qvm.%s", block->action->name);
    return -1;
}

static int add_blocks(struct qg_job *job, const struct qg_request_action *actions, size_t count,
                      struct qg_err *err) {
    job->blocks = calloc(count ? count : 1, sizeof(*job->blocks));
    if (!job->blocks)
        return qg_err_oom(err);
    for (size_t i = 0; i < count; i++) {
        struct qg_block *block = &job->blocks[job->count++];
        block->action = actions[i].action;
        block->pass = actions[i].pass;
        block->open = actions[i].open;
        if (qg_body_init(&block->body, actions[i].body, err) < 0)
            return name_action(block, err);
    }
    return 0;
}

/* A label under prefs labels the qube that present makes. */
static void look_ahead(struct qg_job *job) {
    for (size_t i = 0; i < job->count; i++)
        if (job->blocks[i].action == &qg_action_prefs && !job->label)
            job->label = json_incref(json_object_get(job->blocks[i].body.keys, "label"));
}

static int gather_need(struct qg_block *block, struct qg_need *need, struct qg_err *err) {
    struct qg_err problem = {0};
    if (!block->action->need || block->action->need(block, need, &problem) == 0)
        return 0;
    if (block->pass && problem.kind == QG_ERR_INVALID)
        return 0; /* planning says it again, and only this action fails */
    if (err && err->kind == QG_ERR_NONE)
        *err = problem;
    return name_action(block, err);
}

static int gather_needs(struct qg_job *job, size_t from, struct qg_need *need, struct qg_err *err) {
    for (size_t i = from; i < job->count; i++) {
        struct qg_block *block = &job->blocks[i];
        if (gather_need(block, need, err) < 0)
            return -1;
        block->want = need->want;
        block->features = json_array_size(need->features);
        block->classes = json_array_size(need->classes);
        block->volumes = json_array_size(need->volumes);
    }
    if (need->meminfo_off && need->maxmem_on)
        return qg_err_set(
            err, QG_ERR_INVALID,
            "prefs: maxmem above 0 and service.meminfo-writer disabled contradict each other: "
            "qubesd keeps the second as maxmem 0");
    if (!need->want.power && !need->want.all_features && !need->features && !need->classes &&
        !need->want.tags && !need->want.firewall)
        need->want.properties = true; /* something has to tell whether the qube exists */
    need->want.features = need->features;
    need->want.classes = need->classes;
    need->want.volumes = need->volumes;
    return 0;
}

static bool is_known_key(const struct qg_action *action, const char *name) {
    for (const char *const *key = action->keys; key && *key; key++)
        if (qg_body_same_key(*key, name))
            return true;
    return false;
}

/* Keys that no action looked at do not fail a state, but are named. Known ones were left aside
 * where there is no qube. */
static int warn_unused(struct qg_job *job, const struct qg_block *block, struct qg_err *err) {
    QG_AUTO(json) json_t *unused = qg_body_unused(&block->body, err);
    size_t i;
    json_t *key;
    if (!unused)
        return -1;
    if (block->action == &qg_action_prefs)
        return 0; /* it names its own, with the qube's properties in mind */
    json_array_foreach(unused, i, key) {
        const char *name = json_string_value(key);
        if (is_known_key(block->action, name))
            continue;
        const char *near = block->action->keys ? qg_text_nearest(name, block->action->keys) : NULL;
        if (qg_job_warn(job, err, "Unknown key ignored: %s: %s%s%s%s", block->action->name, name,
                        near ? " (did you mean " : "", near ? near : "", near ? "?)" : "") < 0)
            return -1;
    }
    return 0;
}

/* Plans one block; a `pass` one that cannot be planned leaves no trace but its comment. */
static int plan_block(struct qg_job *job, struct qg_block *block, struct qg_err *err) {
    QG_AUTO(qube) struct qg_qube before = {0};
    struct qg_err problem = {0};
    block->from = block->to = job->plan.count;
    if (block->pass && qg_qube_copy(&job->qube, &before, err) < 0)
        return -1;
    if (block->action->plan(job, block, &problem) == 0) {
        block->to = job->plan.count;
        return warn_unused(job, block, err);
    }
    if (job->waits)
        return -1;
    name_action(block, &problem);
    if (!block->pass || problem.kind == QG_ERR_OOM || problem.kind == QG_ERR_INTERRUPTED) {
        if (err && err->kind == QG_ERR_NONE)
            *err = problem;
        return -1;
    }
    qg_qube_fini(&job->qube);
    job->qube = before;
    before = (struct qg_qube){0};
    block->to = job->plan.count; /* steps that were planned before it failed are dropped */
    block->from = block->to;
    return qg_block_fail(block, err, "%s", problem.text);
}

static int plan_next(struct qg_job *job, struct qg_err *err) {
    struct qg_block *block = &job->blocks[job->planned];
    block->skipped = job->stopped;
    int status = job->stopped ? qg_block_say(block, err, "[SKIP] Skipping due to previous failure!")
                              : plan_block(job, block, err);
    if (status < 0)
        return -1;
    job->stopped = job->stopped || (block->failed && !block->pass);
    job->planned++;
    return 0;
}

/* A job while answers are on their way. */
struct early {
    struct qg_job *job;
    const struct qg_need *need;
    struct qg_err err; /* what planning has failed with */
};

/* Whether the next block can be planned with what is known. What its steps couple is in the
 * properties: they have to be there first. */
static bool can_plan(const struct early *early) {
    const struct qg_job *job = early->job;
    if (job->planned == job->count || !job->qube.exists || job->waits)
        return false;
    const struct qg_block *block = &job->blocks[job->planned];
    struct qg_want want = block->want;
    want.properties = early->need->want.properties;
    want.all_features = early->need->want.all_features;
    want.features = early->need->features;
    want.classes = early->need->classes;
    want.volumes = early->need->volumes;
    return (block->action->traits & QG_ACTION_EARLY) &&
           qg_qube_knows(&job->qube, &want, block->features, block->classes, block->volumes);
}

/* The time in which answers are waited for is there to plan what they do not matter for. */
static void plan_early(void *owner) {
    struct early *early = owner;
    while (early->err.kind == QG_ERR_NONE && can_plan(early))
        if (plan_next(early->job, &early->err) < 0)
            return;
}

/* Forgets the plans of the blocks from first on. */
static void unplan(struct qg_job *job, size_t first) {
    qg_plan_fini(&job->plan);
    for (size_t i = first; i < job->count; i++) {
        qg_buf_fini(&job->blocks[i].comment);
        job->blocks[i].failed = false;
    }
    if (job->pvh && job->pvh >= &job->blocks[first])
        job->pvh = NULL;
    job->planned = first;
    job->stopped = false;
}

static int observe_and_plan(struct qg_job *job, size_t first, struct qg_err *err) {
    QG_AUTO(need) struct qg_need need = {0};
    struct early early = {.job = job, .need = &need};
    if (gather_needs(job, first, &need, err) < 0)
        return -1;
    need.want.more = plan_early;
    need.want.owner = &early;
    qg_qube_fini(&job->qube);
    job->early = true;
    int status =
        qg_run_observe(job->run, job->name, &need.want, need.pci, job->test, &job->qube, err);
    job->early = job->waits = false;
    if (status < 0)
        return -1;
    if (!job->qube.exists) /* removed by somebody else between two answers */
        unplan(job, first);
    else if (early.err.kind != QG_ERR_NONE) {
        if (err && err->kind == QG_ERR_NONE)
            *err = early.err;
        return -1;
    }
    while (job->planned < job->count)
        if (plan_next(job, err) < 0)
            return -1;
    return 0;
}

/* After an action that may fail did fail, what the rest was planned against is no longer true. */
static int plan_again(struct qg_job *job, size_t first, struct qg_err *err) {
    unplan(job, first);
    return observe_and_plan(job, first, err);
}

/* What the block's programs said last. */
static int say_outputs(const struct qg_job *job, struct qg_block *block, struct qg_err *err) {
    for (size_t i = block->from; i < block->to; i++) {
        const char *output = qg_value_get_text(job->plan.steps[i].extra, "output");
        if (output && qg_block_quote(block, output, err) < 0)
            return -1;
    }
    return 0;
}

static int apply(struct qg_job *job, struct qg_report *report, struct qg_err *err) {
    for (size_t i = 0; i < job->count; i++) {
        struct qg_block *block = &job->blocks[i];
        struct qg_err problem = {0};
        if (block->skipped)
            continue;
        if (qg_run_apply(job->run, &job->plan, block->from, block->to, report, &problem) == 0) {
            if (say_outputs(job, block, err) < 0)
                return -1;
            continue;
        }
        bool fatal = problem.kind == QG_ERR_OOM || problem.kind == QG_ERR_INTERRUPTED;
        /* what it was going to do is not what was done: the changes say that */
        qg_buf_fini(&block->comment);
        if (!block->pass || fatal) {
            block->failed = true;
            for (size_t after = i + 1; after < job->count; after++) {
                qg_buf_fini(&job->blocks[after].comment);
                qg_block_say(&job->blocks[after], NULL, "[SKIP] Skipping due to previous failure!");
            }
            if (err && err->kind == QG_ERR_NONE)
                *err = problem;
            return -1;
        }
        char text[1400];
        qg_err_describe(&problem, text, sizeof(text));
        if (qg_block_fail(block, err, "%s", text) < 0 || plan_again(job, i + 1, err) < 0)
            return -1;
    }
    return 0;
}

static int add_headline(struct qg_buf *comment, const struct qg_block *block, struct qg_err *err) {
    const char *const parts[] = {comment->length ? "\n\n" : "", "====== ['", block->action->name,
                                 "'] ======\n"};
    return qg_buf_add_all(comment, parts, QG_ARRAY_LEN(parts), err);
}

/* The blocks' lines are clean already. */
static int add_comment(const struct qg_job *job, bool framed, struct qg_report *report,
                       struct qg_err *err) {
    struct qg_buf *comment = &report->comment;
    for (size_t i = 0; i < job->count; i++) {
        const struct qg_block *block = &job->blocks[i];
        if (framed && add_headline(comment, block, err) < 0)
            return -1;
        const char *between = !framed && comment->length && block->comment.length ? "\n" : "";
        if (qg_buf_puts(comment, between, err) < 0 ||
            qg_buf_puts(comment, qg_buf_text(&block->comment), err) < 0)
            return -1;
    }
    size_t i;
    json_t *warning;
    json_array_foreach(job->warnings, i, warning) {
        if (qg_report_warn(report, err, "%s", json_string_value(warning)) < 0)
            return -1;
    }
    return 0;
}

static void set_result(const struct qg_job *job, struct qg_report *report) {
    for (size_t i = 0; i < job->count; i++) {
        const struct qg_block *block = &job->blocks[i];
        if (block->failed && !block->pass)
            report->result = QG_RESULT_FALSE;
        if (block->data && !report->data)
            report->data = json_incref(block->data);
    }
    /* a source that may still come from elsewhere: the dry run cannot say that all is well */
    if (report->test && report->result == QG_RESULT_TRUE && qg_report_has_changes(report))
        report->result = QG_RESULT_WOULD;
}

int qg_job_run(struct qg_run *run, const char *name, const struct qg_request_action *actions,
               size_t count, bool framed, struct qg_report *report, struct qg_err *err) {
    QG_AUTO(job) struct qg_job job = {.run = run, .name = name, .test = report->test};
    qg_run_begin(run);
    if (add_blocks(&job, actions, count, err) < 0)
        return -1;
    look_ahead(&job);
    if (observe_and_plan(&job, 0, err) < 0)
        return -1;
    int status = apply(&job, report, err);
    struct qg_err ignored = {0};
    if (add_comment(&job, framed, report, status < 0 ? &ignored : err) < 0)
        status = -1;
    set_result(&job, report);
    return status;
}
