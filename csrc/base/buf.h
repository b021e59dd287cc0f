/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A growing byte buffer with a cap. */
#ifndef QG_BASE_BUF_H
#define QG_BASE_BUF_H

#include "base/cleanup.h"
#include "base/err.h"

#include <stdarg.h>
#include <stddef.h>

struct qg_buf {
    char *data;    /* always NUL-terminated once something was added; NULL before */
    size_t length; /* bytes in use, without the terminator */
    size_t size;   /* bytes allocated */
    size_t cap;    /* the most bytes it may hold; 0: QG_BUF_CAP */
};

enum { QG_BUF_CAP = 64 * 1024 * 1024 };

void qg_buf_fini(struct qg_buf *buf);
QG_DEFINE_AUTO_FINI(buf, struct qg_buf, qg_buf_fini)

/* Makes room for extra more bytes and the terminator. 0/-1 (oom, too large). */
int qg_buf_reserve(struct qg_buf *buf, size_t extra, struct qg_err *err);
int qg_buf_add(struct qg_buf *buf, const void *bytes, size_t length, struct qg_err *err);
int qg_buf_puts(struct qg_buf *buf, const char *text, struct qg_err *err);
int qg_buf_add_all(struct qg_buf *buf, const char *const *texts, size_t count, struct qg_err *err);
int qg_buf_printf(struct qg_buf *buf, struct qg_err *err, const char *format, ...) QG_PRINTF(3, 4);
int qg_buf_vprintf(struct qg_buf *buf, struct qg_err *err, const char *format, va_list args)
    QG_PRINTF(3, 0);

/* Moves the content out as a malloc'd string (never NULL on success: empty content is ""); NULL on
 * oom. */
char *qg_buf_steal(struct qg_buf *buf, struct qg_err *err) QG_MUST_CHECK;

/* The content as a string, "" where nothing was added. Borrowed until the next change. */
const char *qg_buf_text(const struct qg_buf *buf);

#endif
