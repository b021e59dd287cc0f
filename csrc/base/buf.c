/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "base/buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void qg_buf_fini(struct qg_buf *buf) {
    free(buf->data);
    *buf = (struct qg_buf){.cap = buf->cap};
}

int qg_buf_reserve(struct qg_buf *buf, size_t extra, struct qg_err *err) {
    size_t cap = buf->cap ? buf->cap : QG_BUF_CAP;
    size_t wanted;
    if (__builtin_add_overflow(buf->length, extra, &wanted) || wanted > cap)
        return qg_err_set(err, QG_ERR_TOO_LARGE, "more than %zu bytes", cap);
    if (wanted < buf->size)
        return 0;
    size_t size = buf->size ? buf->size : 256;
    while (size <= wanted)
        size *= 2;
    char *data = realloc(buf->data, size);
    if (!data)
        return qg_err_oom(err);
    buf->data = data;
    buf->size = size;
    return 0;
}

int qg_buf_add(struct qg_buf *buf, const void *bytes, size_t length, struct qg_err *err) {
    if (qg_buf_reserve(buf, length, err) < 0)
        return -1;
    if (length)
        memcpy(buf->data + buf->length, bytes, length);
    buf->length += length;
    buf->data[buf->length] = '\0';
    return 0;
}

int qg_buf_puts(struct qg_buf *buf, const char *text, struct qg_err *err) {
    return qg_buf_add(buf, text, strlen(text), err);
}

int qg_buf_add_all(struct qg_buf *buf, const char *const *texts, size_t count, struct qg_err *err) {
    for (size_t i = 0; i < count; i++)
        if (qg_buf_puts(buf, texts[i], err) < 0)
            return -1;
    return 0;
}

int qg_buf_vprintf(struct qg_buf *buf, struct qg_err *err, const char *format, va_list args) {
    enum { GUESS = 120 }; /* most lines are shorter; a longer one is printed twice */
    if (qg_buf_reserve(buf, GUESS, err) < 0)
        return -1;
    va_list again;
    va_copy(again, args);
    size_t room = buf->size - buf->length;
    int length = vsnprintf(buf->data + buf->length, room, format, args);
    int status = length < 0 ? qg_err_set(err, QG_ERR_INVALID, "text that cannot be formatted") : 0;
    if (status == 0 && (size_t)length >= room) {
        status = qg_buf_reserve(buf, (size_t)length, err);
        if (status == 0)
            vsnprintf(buf->data + buf->length, (size_t)length + 1, format, again);
    }
    va_end(again);
    if (status == 0)
        buf->length += (size_t)length;
    buf->data[buf->length] = '\0';
    return status;
}

int qg_buf_printf(struct qg_buf *buf, struct qg_err *err, const char *format, ...) {
    va_list args;
    va_start(args, format);
    int status = qg_buf_vprintf(buf, err, format, args);
    va_end(args);
    return status;
}

char *qg_buf_steal(struct qg_buf *buf, struct qg_err *err) {
    if (!buf->data && qg_buf_reserve(buf, 0, err) < 0)
        return NULL;
    buf->data[buf->length] = '\0';
    char *data = buf->data;
    *buf = (struct qg_buf){.cap = buf->cap};
    return data;
}

const char *qg_buf_text(const struct qg_buf *buf) {
    return buf->data ? buf->data : "";
}
