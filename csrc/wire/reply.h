/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The bytes of a reply, told apart: `0\0DATA`, `2\0TYPE\0TRACEBACK\0MESSAGE\0`,
 * `1\0SUBJECT\0EVENT\0k\0v\0…\0`. */
#ifndef QG_WIRE_REPLY_H
#define QG_WIRE_REPLY_H

#include "base/err.h"
#include "doc/value.h"

#include <stddef.h>

/* The data of an ok reply, inside bytes (borrowed). Everything else is a failure: qubesd's own
 * exception (QG_ERR_QUBESD), nothing at all (QG_ERR_REFUSED), or what is no reply
 * (QG_ERR_PROTOCOL). */
int qg_reply_parse(const char *bytes, size_t length, const char **data, size_t *data_length,
                   struct qg_err *err);

/* One event of a stream; keys and values are in a mapping. */
struct qg_event {
    const char *subject; /* borrowed from bytes; "" for the system */
    const char *name;    /* e.g. `domain-start` */
    json_t *values;
};

void qg_event_fini(struct qg_event *event);
QG_DEFINE_AUTO_FINI(event, struct qg_event, qg_event_fini)

/* The first event in bytes. *used is its size, 0 where more bytes are needed. QG_ERR_PROTOCOL for
 * what is none, QG_ERR_QUBESD for an error instead of a stream. */
int qg_reply_event(const char *bytes, size_t length, struct qg_event *event, size_t *used,
                   struct qg_err *err);

#endif
