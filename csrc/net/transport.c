/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "net/transport.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    READ_STEP = 4 * 1024, /* all but the longest answers fit in one */
    RETRY_MS =
        2, /* a full queue of a unix socket is not pollable (EAGAIN), so ask again after this */
    CHILD_END_MS = 50 /* how long a qrexec program may take to end after it closed its output */
};

static int fail_connect(const char *path, struct qg_err *err) {
    return qg_err_errno(
        err,
        "cannot connect to qubesd at %s (qubesd answers in dom0 only; QUBESD_SOCKET or "
        "the option qvm_gpu:qubesd_socket names another socket)",
        path);
}

/* connect(2) of a unix socket answers EAGAIN while the listener's queue is full. */
static int connect_unix(int fd, const struct sockaddr_un *address,
                        const struct qg_deadline *deadline, struct qg_err *err) {
    while (connect(fd, (const struct sockaddr *)address, sizeof(*address)) < 0) {
        if (errno == EISCONN)
            return 0;
        if (errno != EAGAIN && errno != EINTR)
            return fail_connect(address->sun_path, err);
        if (qg_deadline_interrupted(deadline))
            return qg_err_set(err, QG_ERR_INTERRUPTED, "interrupted");
        if (qg_deadline_left(deadline) == 0)
            return qg_err_set(err, QG_ERR_TIMEOUT, "qubesd at %s takes no connection in time",
                              address->sun_path);
        poll(NULL, 0, RETRY_MS);
    }
    return 0;
}

static int open_unix(struct qg_connection *connection, const char *path,
                     const struct qg_deadline *deadline, struct qg_err *err) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof(address.sun_path))
        return qg_err_set(err, QG_ERR_INVALID,
                          "qubesd_socket: a path of more than %zu bytes: %.60s...",
                          sizeof(address.sun_path) - 1, path);
    memcpy(address.sun_path, path, strlen(path) + 1);
    connection->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (connection->fd < 0)
        return qg_err_errno(err, "socket");
    return connect_unix(connection->fd, &address, deadline, err);
}

/* The descriptors of a qrexec program: ours as its input and output, and no other. */
static int connect_program(posix_spawn_file_actions_t *actions, int fd) {
    int status = posix_spawn_file_actions_adddup2(actions, fd, STDIN_FILENO);
    status = status ? status : posix_spawn_file_actions_adddup2(actions, fd, STDOUT_FILENO);
    status =
        status ? status
               : posix_spawn_file_actions_addopen(actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
    return status ? status : posix_spawn_file_actions_addclosefrom_np(actions, STDERR_FILENO + 1);
}

/* Signals as a program expects to find them: Python ignores SIGPIPE, and a thread may block some.
 */
static int reset_signals(posix_spawnattr_t *attributes) {
    sigset_t none, broken;
    sigemptyset(&none);
    sigemptyset(&broken);
    sigaddset(&broken, SIGPIPE);
    int status = posix_spawnattr_setsigmask(attributes, &none);
    status = status ? status : posix_spawnattr_setsigdefault(attributes, &broken);
    return status ? status
                  : posix_spawnattr_setflags(attributes,
                                             POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
}

static int spawn_on(int fd, char *const argv[], pid_t *child, struct qg_err *err) {
    char path[] = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    char lang[] = "LANG=C.UTF-8", home[] = "HOME=/root";
    char *const env[] = {path, lang, home, NULL};
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    int status = posix_spawn_file_actions_init(&actions);
    if (status == 0) {
        status = posix_spawnattr_init(&attributes);
        if (status == 0) {
            status = connect_program(&actions, fd);
            status = status ? status : reset_signals(&attributes);
            status =
                status ? status : posix_spawnp(child, argv[0], &actions, &attributes, argv, env);
            posix_spawnattr_destroy(&attributes);
        }
        posix_spawn_file_actions_destroy(&actions);
    }
    errno = status;
    return status ? qg_err_errno(err, "cannot start %s", argv[0]) : 0;
}

static int open_qrexec(struct qg_connection *connection, const char *program,
                       const struct qg_request *request, struct qg_err *err) {
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
        return qg_err_errno(err, "socketpair");
    connection->fd = pair[0];
    QG_AUTO_FD int theirs = pair[1];
    if (fcntl(connection->fd, F_SETFL, O_NONBLOCK) < 0)
        return qg_err_errno(err, "fcntl");
    QG_AUTO(buf) struct qg_buf service = {0};
    QG_AUTO(buf) struct qg_buf dest = {0};
    if (qg_buf_printf(&service, err, "%s+%s", request->method, request->arg ? request->arg : "") <
            0 ||
        qg_buf_puts(&dest, request->dest, err) < 0)
        return -1;
    QG_AUTO_STR char *name = strdup(program);
    if (!name)
        return qg_err_oom(err);
    char *argv[] = {name, dest.data, service.data, NULL};
    return spawn_on(theirs, argv, &connection->child, err);
}

static int open_by(struct qg_connection *connection, const struct qg_transport *transport,
                   const struct qg_request *request, const struct qg_deadline *deadline,
                   struct qg_err *err) {
    if (transport->qrexec)
        return qg_request_check(request, err) < 0 || qg_buf_add(&connection->out, request->payload,
                                                                request->payload_length, err) < 0
                   ? -1
                   : open_qrexec(connection, transport->qrexec, request, err);
    if (qg_request_encode(request, &connection->out, err) < 0)
        return -1;
    return open_unix(connection, transport->socket, deadline, err);
}

int qg_connection_open(struct qg_connection *connection, const struct qg_transport *transport,
                       const struct qg_request *request, const struct qg_deadline *deadline,
                       struct qg_err *err) {
    *connection = QG_CONNECTION_CLOSED;
    if (open_by(connection, transport, request, deadline, err) == 0)
        return 0;
    qg_connection_close(connection);
    return -1;
}

bool qg_connection_sending(const struct qg_connection *connection) {
    return connection->out.data != NULL;
}

int qg_connection_send(struct qg_connection *connection, struct qg_err *err) {
    while (connection->sent < connection->out.length) {
        ssize_t done = send(connection->fd, connection->out.data + connection->sent,
                            connection->out.length - connection->sent, MSG_NOSIGNAL);
        if (done < 0 && errno == EINTR)
            continue;
        if (done < 0 && errno == EAGAIN)
            return 0;
        if (done < 0 && (errno == EPIPE || errno == ECONNRESET))
            break; /* it has heard enough; its answer, if any, says why */
        if (done < 0)
            return qg_err_errno(err, "sending to qubesd");
        connection->sent += (size_t)done;
    }
    qg_buf_fini(&connection->out);
    shutdown(connection->fd, SHUT_WR);
    return 0;
}

int qg_connection_receive(struct qg_connection *connection, bool ended, struct qg_buf *in,
                          struct qg_err *err) {
    for (;;) {
        char part[READ_STEP];
        ssize_t done = recv(connection->fd, part, sizeof(part), 0);
        if (done < 0 && errno == EINTR)
            continue;
        if (done < 0 && errno == EAGAIN)
            return 0;
        if (done < 0 && errno == ECONNRESET && in->length == 0)
            return 1; /* closed with our request unread: the same as an empty answer */
        if (done < 0)
            return qg_err_errno(err, "reading qubesd's answer");
        if (qg_buf_add(in, part, (size_t)done, err) < 0)
            return -1;
        if (done == 0)
            return 1;
        if ((size_t)done < sizeof(part) && !ended)
            return 0; /* that was all for now: the next poll says when there is more */
    }
}

static void end_child(pid_t child) {
    struct qg_deadline grace = qg_deadline_in(CHILD_END_MS);
    while (waitpid(child, NULL, WNOHANG) == 0) {
        if (qg_deadline_left(&grace) == 0)
            kill(child, SIGKILL);
        poll(NULL, 0, RETRY_MS);
    }
}

void qg_connection_close(struct qg_connection *connection) {
    qg_fd_close(&connection->fd);
    if (connection->child > 0)
        end_child(connection->child);
    qg_buf_fini(&connection->out);
    *connection = QG_CONNECTION_CLOSED;
}
