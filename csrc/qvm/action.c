/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "qvm/action.h"

#include "base/text.h"
#include "wire/lines.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int qg_need_add(json_t **list, const char *name, struct qg_err *err) {
    if (!*list && !(*list = qg_value_array(err)))
        return -1;
    size_t i;
    json_t *known;
    json_array_foreach(*list, i, known) {
        if (strcmp(json_string_value(known), name) == 0)
            return 0;
    }
    return qg_value_append_take(*list, qg_value_text(name, err), err);
}

static int add_line(struct qg_buf *buf, const char *format, va_list args, struct qg_err *err)
    QG_PRINTF(2, 0);

/* What was added from start on is cleaned of what a terminal must not see; a value with a newline
 * makes no second line, which might say what is not so. */
static void clean_line(struct qg_buf *buf, size_t start) {
    qg_text_clean(buf->data + start);
    buf->length = start + strlen(buf->data + start);
}

/* A line of its own. */
static int add_line(struct qg_buf *buf, const char *format, va_list args, struct qg_err *err) {
    if (buf->length && qg_buf_add(buf, "\n", 1, err) < 0)
        return -1;
    size_t start = buf->length;
    if (qg_buf_vprintf(buf, err, format, args) < 0)
        return -1;
    clean_line(buf, start);
    return 0;
}

int qg_block_skip(struct qg_block *block, const char *key, const char *value, struct qg_err *err) {
    static const char blanks[] = "                   "; /* as wide as %-19s */
    size_t wide = strlen(key);
    struct qg_buf *buf = &block->comment;
    if (buf->length && qg_buf_add(buf, "\n", 1, err) < 0)
        return -1;
    size_t start = buf->length;
    const char *const parts[] = {
        "[SKIP] ", key, blanks + (wide < sizeof(blanks) ? wide : sizeof(blanks) - 1), ": ", value,
    };
    if (qg_buf_add_all(buf, parts, QG_ARRAY_LEN(parts), err) < 0)
        return -1;
    clean_line(buf, start);
    return 0;
}

int qg_block_say(struct qg_block *block, struct qg_err *err, const char *format, ...) {
    va_list args;
    va_start(args, format);
    int status = add_line(&block->comment, format, args, err);
    va_end(args);
    return status;
}

int qg_block_quote(struct qg_block *block, const char *output, struct qg_err *err) {
    struct qg_buf *comment = &block->comment;
    return qg_buf_puts(comment, comment->length ? "\n" : "", err) < 0
               ? -1
               : qg_buf_puts(comment, output, err);
}

int qg_block_fail(struct qg_block *block, struct qg_err *err, const char *format, ...) {
    block->failed = true;
    va_list args;
    va_start(args, format);
    int status = add_line(&block->comment, format, args, err);
    va_end(args);
    return status;
}

int qg_job_warn(struct qg_job *job, struct qg_err *err, const char *format, ...) {
    QG_AUTO(buf) struct qg_buf line = {0};
    va_list args;
    va_start(args, format);
    int status = add_line(&line, format, args, err);
    va_end(args);
    return status < 0 ? -1 : qg_need_add(&job->warnings, qg_buf_text(&line), err);
}

static bool is_known_flag(const char *flag, const char *const *known) {
    for (; *known; known++)
        if (qg_body_same_key(flag, *known))
            return true;
    return false;
}

int qg_job_know_flags(struct qg_job *job, struct qg_block *block, const char *const *known,
                      struct qg_err *err) {
    QG_AUTO(json) json_t *flags = qg_body_names(&block->body, "flags", err);
    struct qg_err ignored = {0};
    for (const char *const *flag = known; *flag; flag++)
        qg_body_get(&block->body, *flag, &ignored); /* which makes it one that was looked at */
    size_t i;
    json_t *item;
    json_array_foreach(flags, i, item) {
        const char *flag = json_string_value(item);
        if (is_known_flag(flag, known))
            continue;
        const char *near = qg_text_nearest(flag, known);
        if (qg_job_warn(job, err, "Unknown flag ignored: %s: %s%s%s%s", block->action->name, flag,
                        near ? " (did you mean " : "", near ? near : "", near ? "?)" : "") < 0)
            return -1;
    }
    return flags ? 0 : -1;
}

int qg_job_must_exist(struct qg_job *job, struct qg_block *block, bool *exists,
                      struct qg_err *err) {
    *exists = job->qube.exists;
    return *exists ? 0 : qg_block_fail(block, err, "Qube %s does not exist", job->name);
}

int qg_job_observe_more(struct qg_job *job, const struct qg_want *want, struct qg_err *err) {
    for (size_t i = 0; i < job->plan.count; i++)
        if (job->plan.steps[i].kind == QG_STEP_CREATE)
            return 0;
    return qg_run_observe_more(job->run, &job->qube, want, job->test, err);
}

int qg_may_stay_unknown(const struct qg_err *problem, struct qg_err *err) {
    if (problem->kind == QG_ERR_QUBESD || problem->kind == QG_ERR_REFUSED)
        return 0;
    if (err && err->kind == QG_ERR_NONE)
        *err = *problem;
    return -1;
}

int qg_job_check_label(struct qg_job *job, const char *label, struct qg_err *err) {
    if (qg_label_is_usual(label))
        return 0;
    struct qg_call call = {.request = {.method = "admin.label.List", .dest = "dom0"}};
    struct qg_err problem = {0};
    QG_AUTO(json) json_t *labels = NULL;
    if (qg_client_call(qg_run_client(job->run), &call, &problem) == 0)
        labels = qg_lines_names(call.data, call.data_length, &problem);
    qg_call_fini(&call);
    if (!labels)
        return qg_may_stay_unknown(&problem, err);
    QG_AUTO(buf) struct qg_buf known = {0};
    size_t i;
    json_t *name;
    json_array_foreach(labels, i, name) {
        if (strcmp(json_string_value(name), label) == 0)
            return 0;
        if (qg_buf_printf(&known, err, "%s%s", i ? ", " : "", json_string_value(name)) < 0)
            return -1;
    }
    return qg_err_set(err, QG_ERR_INVALID, "label: %s: there is none, use one of %s", label,
                      qg_buf_text(&known));
}

int qg_job_step_take(struct qg_job *job, struct qg_block *block, enum qg_step_kind kind,
                     const char *name, const char *value, json_t *extra, const char *key,
                     json_t *old, json_t *new, struct qg_err *err) {
    QG_AUTO(json) json_t *owned_old = old;
    QG_AUTO(json) json_t *owned_new = new;
    struct qg_step *step = qg_plan_add(&job->plan, kind, &job->qube, name, value, extra, err);
    if (!step)
        return -1;
    if (!key)
        return 0;
    QG_AUTO(json) json_t *path = qg_value_array(err);
    if (!path ||
        qg_value_append_take(path, qg_value_format(err, "qvm.%s", block->action->name), err) < 0 ||
        qg_value_append_take(path, qg_value_text(key, err), err) < 0)
        return -1;
    return qg_step_change_take(step, QG_STEAL(path), QG_STEAL(owned_old), QG_STEAL(owned_new), err);
}
