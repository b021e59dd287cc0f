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
#include "qubes/client.h"
#include "salt/salt.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const char *const methods[][2] = {
    {"admin.vm.property.GetAll", NULL},
    {"admin.vm.device.pci.Assigned", NULL},
    {"admin.vm.feature.Get", "menu-items"},
};

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

static void run_in_turn(const struct qg_client *client, const char *qube) {
    for (size_t i = 0; i < QG_ARRAY_LEN(methods); i++) {
        struct qg_call call = {
            .request = {.method = methods[i][0], .arg = methods[i][1], .dest = qube}};
        struct qg_err err = {0};
        if (qg_client_call(client, &call, &err) < 0)
            die(&err);
        qg_call_fini(&call);
    }
}

static void run_at_once(const struct qg_client *client, const char *qube) {
    QG_AUTO(batch) struct qg_batch batch = {0};
    struct qg_err err = {0};
    for (size_t i = 0; i < QG_ARRAY_LEN(methods); i++)
        if (qg_batch_add(&batch, methods[i][0], methods[i][1], qube, &err) < 0)
            die(&err);
    if (qg_batch_run(&batch, 0, client, &err) < 0)
        die(&err);
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

static long resident_kb(void) {
    FILE *file = fopen("/proc/self/status", "r");
    char line[256];
    long kb = 0;
    while (file && fgets(line, sizeof(line), file))
        if (strncmp(line, "VmRSS:", 6) == 0)
            kb = strtol(line + 6, NULL, 10);
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
    const struct qg_client *client = qg_run_client(run);
    QG_AUTO(json) json_t *state = state_of(argv[2]);
    long rounds = strtol(argv[3], NULL, 10);
    bool leak = strcmp(argv[4], "leak") == 0, calls = strcmp(argv[4], "calls") == 0;
    long early = 0;
    run_plan(run, state); /* asks for the PCI devices, once a run */
    for (long i = 0; i < rounds; i++) {
        if (leak || calls) {
            leak ? run_plan(run, state) : run_at_once(client, argv[2]);
            early = i == rounds / 10 ? resident_kb() : early;
            continue;
        }
        double t0 = now_us();
        run_in_turn(client, argv[2]);
        double t1 = now_us();
        run_at_once(client, argv[2]);
        double t2 = now_us();
        run_plan(run, state);
        double t3 = now_us();
        printf("%.1f %.1f %.1f\n", t1 - t0, t2 - t1, t3 - t2);
    }
    if (leak)
        printf("%ld %ld\n", early, resident_kb());
    return 0;
}
