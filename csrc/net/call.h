/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Calls of the Admin API: many at once, each over a connection of its own, all under one deadline.
 */
#ifndef QG_NET_CALL_H
#define QG_NET_CALL_H

#include "net/transport.h"
#include "wire/reply.h"

enum {
    QG_REPLY_MAX = 16 * 1024 * 1024, /* of one call; the largest seen is 100 kB */
    QG_CALLS_AT_ONCE = 16,           /* connections open at a time: well below qubesd's queue */
};

/* A call and what became of it. request is borrowed; qg_call_fini frees the rest. */
struct qg_call {
    struct qg_request request;
    struct qg_buf reply;
    const char *data; /* of an ok reply, inside reply; NULL while there is none */
    size_t data_length;
    struct qg_err err; /* how this call failed, named after its method and destination */
    /* Called as soon as data or err is there, while others are still on their way; may be NULL. */
    void (*landed)(struct qg_call *call, void *owner);
    void *owner;
};

void qg_call_fini(struct qg_call *call);

/* Runs all calls. 0 when each has its answer or its own failure in call->err; -1 when all of them
 * were given up (interrupted, out of memory). No descriptor and no child is left either way. */
int qg_calls_run(const struct qg_transport *transport, struct qg_call *calls, size_t count,
                 const struct qg_deadline *deadline, struct qg_err *err);

/* A stream of events; opened with admin.Events. */
struct qg_stream {
    struct qg_connection connection;
    struct qg_buf in;
    size_t used; /* bytes of in that were handed out */
};

/* Subscribes to a destination's events and waits until the subscription stands. */
int qg_stream_open(struct qg_stream *stream, const struct qg_transport *transport, const char *dest,
                   const struct qg_deadline *deadline, struct qg_err *err);

/* The next event; its subject and name are borrowed from the stream until the next call.
 * QG_ERR_TIMEOUT after the deadline, QG_ERR_EOF when qubesd ends the stream. */
int qg_stream_next(struct qg_stream *stream, struct qg_event *event,
                   const struct qg_deadline *deadline, struct qg_err *err);

void qg_stream_close(struct qg_stream *stream);
QG_DEFINE_AUTO_FINI(stream, struct qg_stream, qg_stream_close)

#endif
