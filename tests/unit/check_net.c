/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Calls over a real socket, against a peer that does what the test says. */
#include "net/call.h"

#include <check.h>
#include <dirent.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

Suite *qg_suite_net(void);

static int open_descriptors(void) {
    DIR *folder = opendir("/proc/self/fd");
    int count = 0;
    while (readdir(folder))
        count++;
    closedir(folder);
    return count;
}

/* A listening socket and what it does with each connection. */
struct peer {
    char path[64];
    int fd;
    pthread_t thread;
    int before;      /* descriptors that were open before there was a peer */
    int connections; /* to serve; then the thread ends */
    void (*serve)(int connection);
};

static void *serve_all(void *data) {
    struct peer *peer = data;
    for (int i = 0; i < peer->connections; i++) {
        int connection = accept(peer->fd, NULL, NULL);
        if (connection < 0)
            break;
        peer->serve(connection);
        close(connection);
    }
    return NULL;
}

static void start(struct peer *peer, void (*serve)(int), int connections) {
    *peer = (struct peer){.serve = serve, .connections = connections, .before = open_descriptors()};
    snprintf(peer->path, sizeof(peer->path), "/tmp/qg-net-%d.sock", (int)getpid());
    unlink(peer->path);
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    memcpy(address.sun_path, peer->path, strlen(peer->path) + 1);
    peer->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(bind(peer->fd, (struct sockaddr *)&address, sizeof(address)), 0);
    ck_assert_int_eq(listen(peer->fd, 64), 0);
    ck_assert_int_eq(pthread_create(&peer->thread, NULL, serve_all, peer), 0);
}

static void stop(struct peer *peer) {
    shutdown(peer->fd, SHUT_RDWR);
    pthread_join(peer->thread, NULL);
    close(peer->fd);
    unlink(peer->path);
    ck_assert_int_eq(open_descriptors(), peer->before);
}

/* The request up to the client's half-close; without it this would never return. */
static size_t read_request(int connection, char *out, size_t size) {
    size_t used = 0;
    ssize_t got;
    while ((got = read(connection, out + used, size - used)) > 0)
        used += (size_t)got;
    return used;
}

static void write_all(int connection, const char *bytes, size_t length) {
    while (length) {
        ssize_t done = send(connection, bytes, length, MSG_NOSIGNAL);
        if (done <= 0)
            return;
        bytes += done;
        length -= (size_t)done;
    }
}

/* Answers with the request's method: who asked gets its own answer. */
static void serve_echo(int connection) {
    char request[70000];
    size_t length = read_request(connection, request, sizeof(request) - 1);
    request[length] = '\0';
    write_all(connection, "0\0", 2);
    write_all(connection, request, strcspn(request, " "));
}

static void serve_drops(int connection) {
    char request[1024];
    read_request(connection, request, sizeof(request));
    static const char reply[] = "0\0one byte at a time";
    for (size_t i = 0; i < sizeof(reply) - 1; i++)
        write_all(connection, reply + i, 1);
}

static void serve_nothing(int connection) {
    char request[1024];
    read_request(connection, request, sizeof(request));
}

static void serve_flood(int connection) {
    static char block[1 << 20];
    char request[1024];
    read_request(connection, request, sizeof(request));
    write_all(connection, "0\0", 2);
    for (int i = 0; i < 20; i++)
        write_all(connection, block, sizeof(block));
}

static void serve_late(int connection) {
    (void)connection;
    poll(NULL, 0, 600);
}

static void serve_events(int connection) {
    char request[1024];
    read_request(connection, request, sizeof(request));
    static const char events[] = "1\0\0connection-established\0\0"
                                 "1\0work\0domain-shutdown\0\0";
    write_all(connection, events, sizeof(events) - 1);
}

static void call_one(const struct peer *peer, struct qg_call *call, int64_t ms) {
    const struct qg_transport transport = {.socket = peer->path};
    struct qg_deadline deadline = qg_deadline_in(ms);
    struct qg_err err = {0};
    ck_assert_int_eq(qg_calls_run(&transport, call, 1, &deadline, &err), 0);
}

START_TEST(many_calls_at_once_get_their_own_answers) {
    enum { COUNT = 100 };
    struct peer peer;
    start(&peer, serve_echo, COUNT);
    char args[COUNT][16];
    struct qg_call calls[COUNT] = {0};
    for (int i = 0; i < COUNT; i++) {
        snprintf(args[i], sizeof(args[i]), "n%d", i);
        calls[i].request = (struct qg_request){.method = "admin.x", .arg = args[i], .dest = "dom0"};
    }
    const struct qg_transport transport = {.socket = peer.path};
    struct qg_deadline deadline = qg_deadline_in(20000);
    struct qg_err err = {0};
    ck_assert_int_eq(qg_calls_run(&transport, calls, COUNT, &deadline, &err), 0);
    stop(&peer);
    for (int i = 0; i < COUNT; i++) {
        char wanted[32];
        snprintf(wanted, sizeof(wanted), "admin.x+n%d", i);
        ck_assert_msg(calls[i].data != NULL, "%s", calls[i].err.text);
        ck_assert_str_eq(calls[i].data, wanted);
        qg_call_fini(&calls[i]);
    }
}
END_TEST

enum { THREADS = 8, THREAD_CALLS = 40 };

/* As salt-api's threads do: a batch of calls of one's own over the transport of all. */
static void *call_many(void *data) {
    const struct qg_transport *transport = data;
    struct qg_call calls[THREAD_CALLS] = {0};
    struct qg_deadline deadline = qg_deadline_in(20000);
    struct qg_err err = {0};
    uintptr_t answered = 0;
    for (int i = 0; i < THREAD_CALLS; i++)
        calls[i].request = (struct qg_request){.method = "admin.x", .dest = "dom0"};
    bool done = qg_calls_run(transport, calls, THREAD_CALLS, &deadline, &err) == 0;
    for (int i = 0; i < THREAD_CALLS; i++) {
        answered += done && calls[i].data && strcmp(calls[i].data, "admin.x+") == 0;
        qg_call_fini(&calls[i]);
    }
    return (void *)answered; /* NOLINT(performance-no-int-to-ptr): what a thread returns */
}

START_TEST(threads_call_side_by_side) {
    struct peer peer;
    start(&peer, serve_echo, THREADS * THREAD_CALLS);
    struct qg_transport transport = {.socket = peer.path};
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, call_many, &transport), 0);
    for (int i = 0; i < THREADS; i++) {
        void *answered;
        ck_assert_int_eq(pthread_join(threads[i], &answered), 0);
        ck_assert_uint_eq((uintptr_t)answered, THREAD_CALLS);
    }
    stop(&peer);
}
END_TEST

START_TEST(a_reply_in_pieces_is_whole) {
    struct peer peer;
    start(&peer, serve_drops, 1);
    struct qg_call call = {.request = {.method = "admin.x", .dest = "dom0"}};
    call_one(&peer, &call, 5000);
    stop(&peer);
    ck_assert_str_eq(call.data, "one byte at a time");
    qg_call_fini(&call);
}
END_TEST

START_TEST(a_large_request_arrives) {
    struct peer peer;
    start(&peer, serve_echo, 1);
    char *payload = malloc(65000);
    memset(payload, 'x', 65000);
    struct qg_call call = {.request = {"admin.x", "y", "dom0", payload, 65000}};
    call_one(&peer, &call, 5000);
    stop(&peer);
    ck_assert_str_eq(call.data, "admin.x+y");
    qg_call_fini(&call);
    free(payload);
}
END_TEST

static const struct {
    void (*serve)(int);
    int64_t ms;
    enum qg_err_kind kind;
} failures[] = {
    {serve_nothing, 5000, QG_ERR_REFUSED},
    {serve_flood, 10000, QG_ERR_TOO_LARGE},
    {serve_late, 200, QG_ERR_TIMEOUT},
};

START_TEST(failures_have_their_kinds) {
    struct peer peer;
    start(&peer, failures[_i].serve, 1);
    struct qg_call call = {.request = {.method = "admin.vm.Start", .dest = "work"}};
    call_one(&peer, &call, failures[_i].ms);
    ck_assert_int_eq(call.err.kind, failures[_i].kind);
    ck_assert_str_eq(call.err.where, "admin.vm.Start on work");
    qg_call_fini(&call);
    stop(&peer);
}
END_TEST

START_TEST(nobody_there_is_said) {
    struct peer nobody = {.path = "/tmp/qg-net-nobody.sock"};
    struct qg_call call = {.request = {.method = "admin.vm.List", .dest = "dom0"}};
    call_one(&nobody, &call, 1000);
    ck_assert_int_eq(call.err.kind, QG_ERR_IO);
    ck_assert(strstr(call.err.text, nobody.path) != NULL);
    qg_call_fini(&call);
}
END_TEST

START_TEST(events_are_streamed) {
    struct peer peer;
    start(&peer, serve_events, 1);
    const struct qg_transport transport = {.socket = peer.path};
    struct qg_deadline deadline = qg_deadline_in(5000);
    struct qg_err err = {0};
    QG_AUTO(stream) struct qg_stream stream = {.connection = QG_CONNECTION_CLOSED};
    ck_assert_int_eq(qg_stream_open(&stream, &transport, "work", &deadline, &err), 0);
    {
        QG_AUTO(event) struct qg_event event = {0};
        ck_assert_int_eq(qg_stream_next(&stream, &event, &deadline, &err), 0);
        ck_assert_str_eq(event.name, "domain-shutdown");
        ck_assert_str_eq(event.subject, "work");
    }
    QG_AUTO(event) struct qg_event event = {0};
    ck_assert_int_eq(qg_stream_next(&stream, &event, &deadline, &err), -1);
    ck_assert_int_eq(err.kind, QG_ERR_EOF);
    qg_stream_close(&stream);
    stop(&peer);
}
END_TEST

Suite *qg_suite_net(void) {
    Suite *suite = suite_create("net");
    TCase *all = tcase_create("net");
    tcase_set_timeout(all, 60);
    tcase_add_test(all, many_calls_at_once_get_their_own_answers);
    tcase_add_test(all, threads_call_side_by_side);
    tcase_add_test(all, a_reply_in_pieces_is_whole);
    tcase_add_test(all, a_large_request_arrives);
    tcase_add_loop_test(all, failures_have_their_kinds, 0, (int)QG_ARRAY_LEN(failures));
    tcase_add_test(all, nobody_there_is_said);
    tcase_add_test(all, events_are_streamed);
    suite_add_tcase(suite, all);
    return suite;
}
