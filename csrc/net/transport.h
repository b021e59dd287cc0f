/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The two ways to qubesd: its unix socket in dom0, qrexec-client-vm in a management qube. */
#ifndef QG_NET_TRANSPORT_H
#define QG_NET_TRANSPORT_H

#include "base/clock.h"
#include "wire/request.h"

#include <sys/types.h>

/* Borrowed texts; opens nothing by itself and keeps nothing open. */
struct qg_transport {
    const char *socket; /* path of qubesd's socket; NULL where qrexec is meant */
    const char *qrexec; /* program that carries a call, e.g. `qrexec-client-vm`; NULL where socket
                           is meant */
};

/* One request on its way: a descriptor that takes the bytes of out and then brings the reply until
 * EOF. */
struct qg_connection {
    int fd;            /* close-on-exec, non-blocking; -1 when closed */
    pid_t child;       /* the qrexec program; 0 with a socket */
    struct qg_buf out; /* bytes still to be sent, from sent on */
    size_t sent;
};

#define QG_CONNECTION_CLOSED ((struct qg_connection){.fd = -1})

/* Starts the request. Waits for a place in the socket's queue at most until the deadline. On
 * failure connection is closed. */
int qg_connection_open(struct qg_connection *connection, const struct qg_transport *transport,
                       const struct qg_request *request, const struct qg_deadline *deadline,
                       struct qg_err *err);

/* Sends what fits; closes the writing side once all is out. */
int qg_connection_send(struct qg_connection *connection, struct qg_err *err);

/* True while bytes are to be sent. */
bool qg_connection_sending(const struct qg_connection *connection);

/* Reads what is there into in (its cap is kept). ended: poll has said that nothing follows it. 1 at
 * the end of the reply, 0 for more to come, -1. */
int qg_connection_receive(struct qg_connection *connection, bool ended, struct qg_buf *in,
                          struct qg_err *err);

/* Closes; a program that does not end by itself is killed. */
void qg_connection_close(struct qg_connection *connection);
QG_DEFINE_AUTO_FINI(connection, struct qg_connection, qg_connection_close)

#endif
