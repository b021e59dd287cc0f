/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What an unchanged state costs: the unavoidable calls alone, and the core's whole plan.
 *
 *     core SOCKET QUBE ROUNDS MODE
 *
 * MODE `times`: rounds of (a) three calls one after the other, (a') the same at once, (b) the plan,
 * in turn, so that a noisy machine cannot favour one; prints a line `a a' b` in microseconds each.
 * MODE `leak`: ROUNDS plans; prints the resident set in kB after a tenth of them and at the end.
 * MODE `calls`: ROUNDS of (a'), nothing else: what a profiler has to take off the plan's cost. */
#include "base/clock.h"
#include "doc/value.h"
#include "salt/salt.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

/* ---- the floor: system calls and nothing else, no line of the core ---- */

enum { CALLS = 3, LARGEST = 64 * 1024 };

static const char *const heads[CALLS] = {
    "admin.vm.property.GetAll+ dom0 name ",
    "admin.vm.device.pci.Assigned+ dom0 name ",
    "admin.vm.feature.Get+menu-items dom0 name ",
};

/* The three requests, made once, and where their answers go. */
struct floor {
    struct sockaddr_un address;
    char requests[CALLS][256];
    size_t lengths[CALLS];
    char answer[LARGEST];
};

static void floor_init(struct floor *floor, const char *socket, const char *qube) {
    floor->address.sun_family = AF_UNIX;
    if (strlen(socket) >= sizeof(floor->address.sun_path) || strlen(qube) > 100)
        exit(2);
    memcpy(floor->address.sun_path, socket, strlen(socket) + 1);
    for (size_t i = 0; i < CALLS; i++) /* the NUL behind the name ends the request's head */
        floor->lengths[i] = (size_t)snprintf(floor->requests[i], sizeof(floor->requests[i]), "%s%s",
                                             heads[i], qube) +
                            1;
}

static void give_up(const char *what) {
    perror(what);
    exit(1);
}

static int send_request(const struct floor *floor, size_t which) {
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || connect(fd, (const struct sockaddr *)&floor->address, sizeof(floor->address)) < 0)
        give_up("connect");
    if (send(fd, floor->requests[which], floor->lengths[which], MSG_NOSIGNAL) < 0 ||
        shutdown(fd, SHUT_WR) < 0)
        give_up("send");
    return fd;
}

/* Receives what is there; true, and the descriptor closed, at the answer's end. */
static bool receive(struct floor *floor, int fd, size_t *got) {
    for (;;) {
        ssize_t done = recv(fd, floor->answer + *got, LARGEST - *got, 0);
        if (done < 0 && errno == EAGAIN)
            return false;
        if (done < 0)
            give_up("recv");
        if (done == 0) {
            if (*got < 2 || memcmp(floor->answer, "0", 2) != 0)
                give_up("not an answer");
            close(fd);
            return true;
        }
        *got += (size_t)done;
    }
}

static void run_in_turn(struct floor *floor) {
    for (size_t i = 0; i < CALLS; i++) {
        struct pollfd ready = {.fd = send_request(floor, i), .events = POLLIN};
        size_t got = 0;
        do
            poll(&ready, 1, -1);
        while (!receive(floor, ready.fd, &got));
    }
}

static void run_at_once(struct floor *floor) {
    struct pollfd polls[CALLS];
    size_t got[CALLS] = {0}, open = CALLS;
    for (size_t i = 0; i < CALLS; i++)
        polls[i] = (struct pollfd){.fd = send_request(floor, i), .events = POLLIN};
    while (open) {
        if (poll(polls, CALLS, -1) < 0)
            give_up("poll");
        for (size_t i = 0; i < CALLS; i++)
            if (polls[i].fd >= 0 && polls[i].revents && receive(floor, polls[i].fd, &got[i])) {
                polls[i].fd = -1; /* poll passes it over */
                open--;
            }
    }
}

/* ---- the plan ---- */

static double now_us(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e6 + (double)now.tv_nsec / 1e3;
}

static void die(const struct qg_err *err) {
    char text[1400];
    qg_err_describe(err, text, sizeof(text));
    fprintf(stderr, "%s\n", text);
    exit(1);
}

/* The guide's state, everything as it is: three calls, typed comparison, comment and answer. */
static json_t *state_of(const char *qube) {
    return json_pack(
        "{s:s, s:{s:[{s:s},{s:s}], s:[{s:s},{s:i},{s:i},{s:[s,s]},{s:s},{s:n},{s:i}], s:[{s:[{s:s}]}]}}",
        "name", qube, "body", "present", "template", "fedora-40-xfce", "class", "StandaloneVM",
        "prefs", "label", "yellow", "mem", 4000, "vcpus", 4, "pcidevs", "01:00.0", "01:00.1",
        "virt_mode", "hvm", "kernel", "maxmem", 0, "features", "set", "menu-items",
        "qubes-run-terminal.desktop");
}

static void run_plan(struct qg_run *run, const json_t *state) {
    struct qg_err err = {0};
    QG_AUTO(json) json_t *answer = qg_salt_call(run, "qvm.vm", state, false, &err);
    if (!answer)
        die(&err);
    if (!json_is_true(json_object_get(answer, "result")) ||
        json_object_size(json_object_get(answer, "changes"))) {
        fprintf(stderr, "not unchanged: %s\n", qg_value_get_text(answer, "comment"));
        exit(1);
    }
}

/* Counted page by page: VmRSS of status may be some pages behind. */
static long resident_kb(void) {
    FILE *file = fopen("/proc/self/smaps_rollup", "r");
    char line[256];
    long kb = 0;
    while (file && fgets(line, sizeof(line), file))
        if (strncmp(line, "Rss:", 4) == 0)
            kb = strtol(line + 4, NULL, 10);
    if (file)
        fclose(file);
    return kb;
}

int main(int argc, char **argv) {
    if (argc != 5)
        return 2;
    const struct qg_run_config config = {.socket = argv[1]};
    struct qg_err err = {0};
    QG_AUTO(run) struct qg_run *run = qg_run_new(&config, &err);
    if (!run)
        die(&err);
    static struct floor floor;
    floor_init(&floor, argv[1], argv[2]);
    QG_AUTO(json) json_t *state = state_of(argv[2]);
    long rounds = strtol(argv[3], NULL, 10);
    bool leak = strcmp(argv[4], "leak") == 0, calls = strcmp(argv[4], "calls") == 0;
    long early = 0;
    run_plan(run, state); /* asks for the PCI devices, once a run */
    resident_kb();        /* takes the buffer that looking takes */
    for (long i = 0; i < rounds; i++) {
        if (leak || calls) {
            leak ? run_plan(run, state) : run_at_once(&floor);
            early = i == rounds / 10 ? resident_kb() : early;
            continue;
        }
        double t0 = now_us();
        run_in_turn(&floor);
        double t1 = now_us();
        run_at_once(&floor);
        double t2 = now_us();
        run_plan(run, state);
        double t3 = now_us();
        printf("%.1f %.1f %.1f\n", t1 - t0, t2 - t1, t3 - t2);
    }
    if (leak)
        printf("%ld %ld\n", early, resident_kb());
    return 0;
}
