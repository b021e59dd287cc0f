/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "net/call.h"

#include <errno.h>
#include <poll.h>
#include <string.h>

void qg_call_fini(struct qg_call *call) {
    qg_buf_fini(&call->reply);
    call->data = NULL;
    call->data_length = 0;
}

/* The calls that are on their way, in the same order as their pollfds. */
struct flight {
    struct qg_connection connections[QG_CALLS_AT_ONCE];
    struct pollfd polls[QG_CALLS_AT_ONCE];
    struct qg_call *calls[QG_CALLS_AT_ONCE];
    size_t count;
};

static void flight_fini(struct flight *flight) {
    for (size_t i = 0; i < flight->count; i++)
        qg_connection_close(&flight->connections[i]);
}

QG_DEFINE_AUTO_FINI(flight, struct flight, flight_fini)

static void name_call(struct qg_call *call) {
    const struct qg_request *request = &call->request;
    bool with_arg = request->arg && *request->arg;
    qg_err_at(&call->err, "%s%s%s on %s", request->method, with_arg ? "+" : "",
              with_arg ? request->arg : "", request->dest);
}

/* The call has its outcome. */
static void finish(struct qg_call *call) {
    name_call(call);
    if (call->landed)
        call->landed(call, call->owner);
}

static void start(struct flight *flight, struct qg_call *call, const struct qg_transport *transport,
                  const struct qg_deadline *deadline) {
    struct qg_connection *connection = &flight->connections[flight->count];
    call->reply.cap = QG_REPLY_MAX;
    if (qg_connection_open(connection, transport, &call->request, deadline, &call->err) < 0) {
        finish(call);
        return;
    }
    flight->calls[flight->count++] = call;
}

/* Takes a call out of the flight with its outcome. */
static void land(struct flight *flight, size_t at) {
    struct qg_call *call = flight->calls[at];
    qg_connection_close(&flight->connections[at]);
    if (call->err.kind == QG_ERR_NONE)
        qg_reply_parse(qg_buf_text(&call->reply), call->reply.length, &call->data,
                       &call->data_length, &call->err);
    flight->count--;
    flight->connections[at] = flight->connections[flight->count];
    flight->calls[at] = flight->calls[flight->count];
    finish(call);
}

/* Sends and receives what one connection can; true when its call is over. */
static bool advance(struct qg_connection *connection, struct qg_call *call, short events) {
    if (qg_connection_sending(connection)) {
        if (events & (POLLOUT | POLLERR | POLLHUP) &&
            qg_connection_send(connection, &call->err) < 0)
            return true;
        return false;
    }
    return events != 0 && qg_connection_receive(connection, (events & POLLHUP) != 0, &call->reply,
                                                &call->err) != 0;
}

/* One poll over all connections. 0, -1 when interrupted. */
static int wait_ready(struct flight *flight, const struct qg_deadline *deadline,
                      struct qg_err *err) {
    for (size_t i = 0; i < flight->count; i++) {
        short events = qg_connection_sending(&flight->connections[i]) ? POLLOUT : POLLIN;
        flight->polls[i] = (struct pollfd){.fd = flight->connections[i].fd, .events = events};
    }
    if (poll(flight->polls, flight->count, qg_deadline_left(deadline)) >= 0)
        return 0;
    for (size_t i = 0; i < flight->count; i++)
        flight->polls[i].revents = 0;
    if (errno != EINTR)
        return qg_err_errno(err, "poll");
    return qg_deadline_interrupted(deadline) ? qg_err_set(err, QG_ERR_INTERRUPTED, "interrupted")
                                             : 0;
}

static void advance_all(struct flight *flight, const struct qg_deadline *deadline) {
    /* downwards: landing moves the last one into the gap */
    for (size_t i = flight->count; i-- > 0;) {
        struct qg_call *call = flight->calls[i];
        short events = flight->polls[i].revents;
        bool over = advance(&flight->connections[i], call, events);
        if (!over && qg_deadline_left(deadline) == 0) {
            qg_err_set(&call->err, QG_ERR_TIMEOUT, "no answer from qubesd in time");
            over = true;
        }
        if (over)
            land(flight, i);
    }
}

int qg_calls_run(const struct qg_transport *transport, struct qg_call *calls, size_t count,
                 const struct qg_deadline *deadline, struct qg_err *err) {
    QG_AUTO(flight) struct flight flight = {.count = 0};
    size_t next = 0;
    while (next < count || flight.count > 0) {
        while (next < count && flight.count < QG_CALLS_AT_ONCE) {
            size_t before = flight.count;
            start(&flight, &calls[next++], transport, deadline);
            /* a fresh socket takes a whole request at once, no need to ask poll first */
            if (flight.count > before)
                advance(&flight.connections[before], flight.calls[before], POLLOUT);
        }
        if (flight.count == 0)
            break;
        if (wait_ready(&flight, deadline, err) < 0)
            return -1;
        advance_all(&flight, deadline);
    }
    for (size_t i = 0; i < count; i++) {
        if (calls[i].err.kind == QG_ERR_OOM)
            return qg_err_oom(err);
        if (calls[i].err.kind == QG_ERR_INTERRUPTED)
            return qg_err_set(err, QG_ERR_INTERRUPTED, "interrupted");
    }
    return 0;
}

void qg_stream_close(struct qg_stream *stream) {
    qg_connection_close(&stream->connection);
    qg_buf_fini(&stream->in);
    stream->used = 0;
}

/* Waits until the stream can be written (out) or read. */
static int wait_stream(struct qg_stream *stream, short events, const struct qg_deadline *deadline,
                       struct qg_err *err) {
    struct pollfd ready = {.fd = stream->connection.fd, .events = events};
    for (;;) {
        int status = poll(&ready, 1, qg_deadline_left(deadline));
        if (status > 0)
            return 0;
        if (status == 0)
            return qg_err_set(err, QG_ERR_TIMEOUT, "no event from qubesd in time");
        if (errno != EINTR)
            return qg_err_errno(err, "poll");
        if (qg_deadline_interrupted(deadline))
            return qg_err_set(err, QG_ERR_INTERRUPTED, "interrupted");
    }
}

static int open_stream(struct qg_stream *stream, const struct qg_transport *transport,
                       const struct qg_request *request, const struct qg_deadline *deadline,
                       struct qg_err *err) {
    if (qg_connection_open(&stream->connection, transport, request, deadline, err) < 0)
        return -1;
    while (qg_connection_sending(&stream->connection))
        if (wait_stream(stream, POLLOUT, deadline, err) < 0 ||
            qg_connection_send(&stream->connection, err) < 0)
            return -1;
    struct qg_event event = {0};
    int status = qg_stream_next(stream, &event, deadline, err);
    qg_event_fini(&event);
    return status;
}

int qg_stream_open(struct qg_stream *stream, const struct qg_transport *transport, const char *dest,
                   const struct qg_deadline *deadline, struct qg_err *err) {
    const struct qg_request request = {.method = "admin.Events", .dest = dest};
    *stream = (struct qg_stream){.in = {.cap = QG_REPLY_MAX}};
    if (open_stream(stream, transport, &request, deadline, err) == 0)
        return 0;
    qg_err_at(err, "%s on %s", request.method, dest);
    return -1;
}

int qg_stream_next(struct qg_stream *stream, struct qg_event *event,
                   const struct qg_deadline *deadline, struct qg_err *err) {
    bool ended = false;
    for (;;) {
        size_t used = 0;
        if (qg_reply_event(qg_buf_text(&stream->in) + stream->used,
                           stream->in.length - stream->used, event, &used, err) < 0)
            return -1;
        stream->used += used;
        if (used)
            return 0;
        if (ended)
            return stream->in.length > stream->used
                       ? qg_err_set(err, QG_ERR_EOF, "qubesd's events are cut off")
                       : qg_err_set(err, QG_ERR_EOF, "qubesd ended its events");
        /* nothing borrowed is alive here: drop what was handed out */
        if (stream->used) {
            memmove(stream->in.data, stream->in.data + stream->used,
                    stream->in.length - stream->used);
            stream->in.length -= stream->used;
            stream->used = 0;
        }
        if (wait_stream(stream, POLLIN, deadline, err) < 0)
            return -1;
        int status = qg_connection_receive(&stream->connection, false, &stream->in, err);
        if (status < 0)
            return -1;
        ended = status == 1;
    }
}
