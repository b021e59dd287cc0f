/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "plan/report.h"

#include "base/text.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int qg_report_init(struct qg_report *report, bool test, struct qg_err *err) {
    *report = (struct qg_report){.test = test};
    report->changes = qg_value_object(err);
    report->warnings = qg_value_array(err);
    return report->changes && report->warnings ? 0 : -1;
}

void qg_report_fini(struct qg_report *report) {
    qg_buf_fini(&report->comment);
    json_decref(report->changes);
    json_decref(report->data);
    json_decref(report->warnings);
    *report = (struct qg_report){0};
}

static char *format_clean(struct qg_err *err, const char *format, va_list args) QG_PRINTF(2, 0);

static char *format_clean(struct qg_err *err, const char *format, va_list args) {
    char *text = NULL;
    if (vasprintf(&text, format, args) < 0) {
        qg_err_oom(err);
        return NULL;
    }
    qg_text_clean_block(text);
    return text;
}

int qg_report_say(struct qg_report *report, struct qg_err *err, const char *format, ...) {
    struct qg_buf *comment = &report->comment;
    if (comment->length && qg_buf_add(comment, "\n", 1, err) < 0)
        return -1;
    size_t start = comment->length;
    va_list args;
    va_start(args, format);
    int status = qg_buf_vprintf(comment, err, format, args);
    va_end(args);
    if (status < 0)
        return -1;
    qg_text_clean_block(comment->data + start);
    comment->length = start + strlen(comment->data + start);
    return 0;
}

int qg_report_warn(struct qg_report *report, struct qg_err *err, const char *format, ...) {
    va_list args;
    va_start(args, format);
    QG_AUTO_STR char *line = format_clean(err, format, args);
    va_end(args);
    if (!line)
        return -1;
    size_t index;
    json_t *known;
    json_array_foreach(report->warnings, index, known) {
        if (strcmp(json_string_value(known), line) == 0)
            return 0;
    }
    return qg_value_append_take(report->warnings, qg_value_text(line, err), err);
}

int qg_report_change_take(struct qg_report *report, const char *const *path, json_t *old,
                          json_t *new, struct qg_err *err) {
    QG_AUTO(json) json_t *owned_old = old;
    QG_AUTO(json) json_t *owned_new = new;
    const json_t *at = report->changes;
    for (size_t i = 0; at && path[i]; i++)
        at = json_object_get(at, path[i]);
    const json_t *first = json_object_get(at, "old");
    if (first) {
        json_decref(owned_old);
        owned_old = json_incref(qg_value_mutable(first));
    }
    QG_AUTO(json) json_t *change = qg_value_object(err);
    if (!change || qg_value_set_take(change, "old", QG_STEAL(owned_old), err) < 0 ||
        qg_value_set_take(change, "new", QG_STEAL(owned_new), err) < 0 ||
        qg_value_set_path_take(report->changes, path, QG_STEAL(change), err) < 0)
        return -1;
    if (report->test && report->result == QG_RESULT_TRUE)
        report->result = QG_RESULT_WOULD;
    return 0;
}

bool qg_report_has_changes(const struct qg_report *report) {
    return json_object_size(report->changes) > 0;
}

/* The comment, then the failure's sentence, then the warnings, a line each. */
static json_t *comment_value(const struct qg_report *report, const struct qg_err *failure,
                             struct qg_err *err) {
    if (!failure && json_array_size(report->warnings) == 0)
        return qg_value_text(qg_buf_text(&report->comment), err);
    QG_AUTO(buf) struct qg_buf text = {0};
    if (qg_buf_puts(&text, qg_buf_text(&report->comment), err) < 0)
        return NULL;
    if (failure) {
        char sentence[sizeof(failure->where) + sizeof(failure->exc_type) + sizeof(failure->text) +
                      8];
        qg_err_describe(failure, sentence, sizeof(sentence));
        if (qg_buf_printf(&text, err, "%s%s", text.length ? "\n" : "", sentence) < 0)
            return NULL;
    }
    size_t index;
    json_t *warning;
    json_array_foreach(report->warnings, index, warning) {
        if (qg_buf_printf(&text, err, "%s%s", text.length ? "\n" : "", json_string_value(warning)) <
            0)
            return NULL;
    }
    return qg_value_text(qg_buf_text(&text), err);
}

/* Texts of qubes, devices and files are in the changes and the data, too: what is printed of them
 * must not steer a terminal. */
json_t *qg_report_value(const struct qg_report *report, const struct qg_err *failure,
                        struct qg_err *err) {
    enum qg_result result = failure ? QG_RESULT_FALSE : report->result;
    QG_AUTO(json) json_t *out = qg_value_object(err);
    if (!out ||
        qg_value_set_take(out, "result",
                          result == QG_RESULT_WOULD ? json_null()
                                                    : json_boolean(result == QG_RESULT_TRUE),
                          err) < 0 ||
        qg_value_set_take(out, "comment", comment_value(report, failure, err), err) < 0 ||
        qg_value_set_take(out, "changes", qg_value_clean(report->changes, err), err) < 0 ||
        qg_value_set_take(out, "data",
                          report->data ? qg_value_clean(report->data, err) : json_null(), err) < 0)
        return NULL;
    return QG_STEAL(out);
}
