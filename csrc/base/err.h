/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The one way in which anything in the core says that it failed. */
#ifndef QG_BASE_ERR_H
#define QG_BASE_ERR_H

#include "base/cleanup.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

enum qg_err_kind {
    QG_ERR_NONE = 0,
    QG_ERR_OOM,         /* an allocation failed */
    QG_ERR_IO,          /* a system call failed; sys_errno says how */
    QG_ERR_TIMEOUT,     /* the deadline passed */
    QG_ERR_EOF,         /* the peer closed before its answer was whole */
    QG_ERR_PROTOCOL,    /* the answer is not in the Admin API's format */
    QG_ERR_TOO_LARGE,   /* a request or answer is over its cap */
    QG_ERR_REFUSED,     /* qubesd closed without a word: refused, or an unhandled exception there */
    QG_ERR_QUBESD,      /* qubesd's own exception: exc_type and text are its words */
    QG_ERR_INVALID,     /* what the user wrote cannot be right */
    QG_ERR_PARSE,       /* a document is not well-formed; line and column say where */
    QG_ERR_INTERRUPTED, /* a signal asked to stop */
};

/* Allocated by the caller, never on the heap; start it as `struct qg_err err = {0};`. */
struct qg_err {
    enum qg_err_kind kind;
    int sys_errno;     /* 0 where no system call was at fault */
    int line, column;  /* from 1; 0 where there is no document */
    char exc_type[64]; /* qubesd's exception class for QG_ERR_QUBESD, else empty */
    char where[192];   /* the call that failed, e.g. `admin.vm.Start on work`; may be empty */
    char text[1024];   /* plain text without control characters */
};

/* Sets kind and text unless err is NULL or already says something (the first error wins). Keeps
 * errno. Control characters become `?`; text that does not fit ends in `...`. Returns -1, to be
 * returned. */
int qg_err_set(struct qg_err *err, enum qg_err_kind kind, const char *format, ...) QG_PRINTF(3, 4);
int qg_err_vset(struct qg_err *err, enum qg_err_kind kind, const char *format, va_list args)
    QG_PRINTF(3, 0);

/* As qg_err_set with QG_ERR_IO; appends `: strerror(errno)` and keeps errno in sys_errno. */
int qg_err_errno(struct qg_err *err, const char *format, ...) QG_PRINTF(2, 3);

/* Out of memory, without formatting anything that could need memory. Returns -1. */
int qg_err_oom(struct qg_err *err);

/* For what may stay unknown: problem is of no matter unless memory ran out, which nobody may go on
 * without. Then -1 with err set, else 0. */
int qg_err_pass_oom(struct qg_err *err, const struct qg_err *problem);

/* qubesd's own exception; type and text are copied with control characters replaced. Returns -1. */
int qg_err_qubesd(struct qg_err *err, const char *exc_type, const char *text);

/* Names the call that failed, unless one is named already. Does nothing where err says nothing. */
void qg_err_at(struct qg_err *err, const char *format, ...) QG_PRINTF(2, 3);

/* True where qubesd answered with exactly this exception class. */
bool qg_err_is_qubesd(const struct qg_err *err, const char *exc_type);

/* Forgets what err said; also starts one. */
void qg_err_clear(struct qg_err *err);

/* Writes one sentence, `WHERE: TYPE: TEXT` of the parts that are there, to out (size >= 1, always
 * terminated). */
void qg_err_describe(const struct qg_err *err, char *out, size_t size);

/* A short lower-case word for the kind, e.g. `timeout`; static storage. */
const char *qg_err_kind_name(enum qg_err_kind kind);

#endif
