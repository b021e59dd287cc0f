/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "base/err.h"

#include "base/text.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static void copy_clean(char *out, size_t size, const char *text) {
    snprintf(out, size, "%s", text);
    qg_text_clean(out);
}

int qg_err_vset(struct qg_err *err, enum qg_err_kind kind, const char *format, va_list args) {
    int saved = errno;
    if (err && err->kind == QG_ERR_NONE) {
        err->kind = kind;
        int length = vsnprintf(err->text, sizeof(err->text), format, args);
        if (length >= 0 && (size_t)length >= sizeof(err->text))
            memcpy(err->text + sizeof(err->text) - 4, "...", 4);
        qg_text_clean(err->text);
    }
    errno = saved;
    return -1;
}

int qg_err_set(struct qg_err *err, enum qg_err_kind kind, const char *format, ...) {
    va_list args;
    va_start(args, format);
    qg_err_vset(err, kind, format, args);
    va_end(args);
    return -1;
}

int qg_err_errno(struct qg_err *err, const char *format, ...) {
    int saved = errno;
    if (!err || err->kind != QG_ERR_NONE)
        return -1;
    char what[512];
    va_list args;
    va_start(args, format);
    vsnprintf(what, sizeof(what), format, args);
    va_end(args);
    char reason[128];
    qg_err_set(err, QG_ERR_IO, "%s: %s", what, strerror_r(saved, reason, sizeof(reason)));
    err->sys_errno = saved;
    errno = saved;
    return -1;
}

int qg_err_oom(struct qg_err *err) {
    if (err && err->kind == QG_ERR_NONE) {
        err->kind = QG_ERR_OOM;
        memcpy(err->text, "out of memory", sizeof("out of memory"));
    }
    return -1;
}

int qg_err_pass_oom(struct qg_err *err, const struct qg_err *problem) {
    return problem->kind == QG_ERR_OOM ? qg_err_oom(err) : 0;
}

int qg_err_qubesd(struct qg_err *err, const char *exc_type, const char *text) {
    if (!err || err->kind != QG_ERR_NONE)
        return -1;
    qg_err_set(err, QG_ERR_QUBESD, "%s", text);
    copy_clean(err->exc_type, sizeof(err->exc_type), exc_type);
    return -1;
}

void qg_err_at(struct qg_err *err, const char *format, ...) {
    if (!err || err->kind == QG_ERR_NONE || err->where[0])
        return;
    va_list args;
    va_start(args, format);
    vsnprintf(err->where, sizeof(err->where), format, args);
    va_end(args);
    qg_text_clean(err->where);
}

bool qg_err_is_qubesd(const struct qg_err *err, const char *exc_type) {
    return err->kind == QG_ERR_QUBESD && strcmp(err->exc_type, exc_type) == 0;
}

void qg_err_clear(struct qg_err *err) {
    if (!err)
        return;
    /* the texts are long, and their first bytes say that they are empty */
    err->kind = QG_ERR_NONE;
    err->sys_errno = err->line = err->column = 0;
    err->exc_type[0] = err->where[0] = err->text[0] = '\0';
}

void qg_err_describe(const struct qg_err *err, char *out, size_t size) {
    snprintf(out, size, "%s%s%s%s%s", err->where, err->where[0] ? ": " : "", err->exc_type,
             err->exc_type[0] ? ": " : "", err->text);
}

const char *qg_err_kind_name(enum qg_err_kind kind) {
    static const char *const names[] = {
        [QG_ERR_NONE] = "none",
        [QG_ERR_OOM] = "oom",
        [QG_ERR_IO] = "io",
        [QG_ERR_TIMEOUT] = "timeout",
        [QG_ERR_EOF] = "eof",
        [QG_ERR_PROTOCOL] = "protocol",
        [QG_ERR_TOO_LARGE] = "too large",
        [QG_ERR_REFUSED] = "refused",
        [QG_ERR_QUBESD] = "qubesd",
        [QG_ERR_INVALID] = "invalid",
        [QG_ERR_PARSE] = "parse",
        [QG_ERR_INTERRUPTED] = "interrupted",
    };
    return (size_t)kind < QG_ARRAY_LEN(names) ? names[kind] : "unknown";
}
