/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "plan/power.h"

#include "base/text.h"

#include <stdlib.h>
#include <string.h>

/* How often the state is asked for where no event comes: it may have been the one before. */
enum { LOOK_MS = 2000 };

/* A start may take this many times as long as any other call. */
enum { START_FACTOR = 10 };

/* qubesd answers a start when the qube is up: its netvms are started first, and qrexec awaited. */
int qg_power_start(struct qg_run *run, const struct qg_step *step, struct qg_err *err) {
    struct qg_client client = *qg_run_client(run);
    int64_t seconds = json_integer_value(json_object_get(step->extra, "timeout"));
    client.timeout_ms = seconds ? seconds * 1000 : client.timeout_ms * START_FACTOR;
    return qg_client_do(&client, "admin.vm.Start", NULL, step->qube, NULL, err);
}

/* Waits for the event that says that the qube is off. */
static int wait_shutdown(struct qg_stream *stream, const char *qube,
                         const struct qg_deadline *deadline, struct qg_err *err) {
    for (;;) {
        QG_AUTO(event) struct qg_event event = {0};
        if (qg_stream_next(stream, &event, deadline, err) < 0)
            return -1;
        if (strcmp(event.name, "domain-shutdown") == 0 && strcmp(event.subject, qube) == 0)
            return 0;
    }
}

/* Asks for a shutdown; one that is off already is fine: it went between reading and writing. */
static int ask_shutdown(struct qg_run *run, const struct qg_step *step, bool *off,
                        struct qg_err *err) {
    bool force = json_is_true(json_object_get(step->extra, "force"));
    struct qg_err problem = {0};
    *off = false;
    if (qg_client_do(qg_run_client(run), "admin.vm.Shutdown", force ? "force" : NULL, step->qube,
                     NULL, &problem) == 0)
        return 0;
    *off = qg_err_is_qubesd(&problem, "QubesVMNotStartedError");
    if (!*off && err && err->kind == QG_ERR_NONE)
        *err = problem;
    return *off ? 0 : -1;
}

/* Starts at the event stream, so that what happens between the call and the wait is not missed. */
int qg_power_shutdown(struct qg_run *run, const struct qg_step *step, struct qg_err *err) {
    const struct qg_client *client = qg_run_client(run);
    int64_t seconds = json_integer_value(json_object_get(step->extra, "timeout"));
    seconds = seconds ? seconds : QG_SHUTDOWN_TIMEOUT_S;
    QG_AUTO(stream) struct qg_stream stream = {.connection = QG_CONNECTION_CLOSED};
    struct qg_deadline deadline = qg_run_deadline(run, 0);
    bool off;
    if (qg_stream_open(&stream, &client->transport, step->qube, &deadline, err) < 0 ||
        ask_shutdown(run, step, &off, err) < 0)
        return -1;
    deadline = qg_run_deadline(run, seconds * 1000);
    struct qg_err problem = {0};
    if (off || wait_shutdown(&stream, step->qube, &deadline, &problem) == 0)
        return 0;
    if (problem.kind == QG_ERR_TIMEOUT && json_is_true(json_object_get(step->extra, "kill")))
        return qg_client_do(client, "admin.vm.Kill", NULL, step->qube, NULL, err);
    if (problem.kind == QG_ERR_TIMEOUT)
        return qg_err_set(err, QG_ERR_TIMEOUT, "%s did not shut down within %lld s", step->qube,
                          (long long)seconds);
    if (err && err->kind == QG_ERR_NONE)
        *err = problem;
    return -1;
}

bool qg_power_is_passing(const char *state) {
    return state && (strcmp(state, "Transient") == 0 || strcmp(state, "Dying") == 0);
}

static int look(struct qg_run *run, struct qg_qube *qube, struct qg_err *err) {
    const struct qg_want want = {.power = true};
    free(QG_STEAL(qube->power));
    if (qg_run_observe_more(run, qube, &want, false, err) < 0)
        return -1;
    return qube->exists && !qube->power
               ? qg_err_set(err, QG_ERR_PROTOCOL, "no power state of %s", qube->name)
               : 0;
}

/* Waits for any event of the qube, but not past the next look. */
static int wait_event(struct qg_run *run, struct qg_stream *stream,
                      const struct qg_deadline *deadline, struct qg_err *err) {
    QG_AUTO(event) struct qg_event event = {0};
    int64_t left = qg_deadline_left(deadline);
    struct qg_deadline next = qg_run_deadline(run, left < LOOK_MS ? left + 1 : LOOK_MS);
    struct qg_err problem = {0};
    if (qg_stream_next(stream, &event, &next, &problem) == 0 || problem.kind == QG_ERR_TIMEOUT)
        return 0;
    if (err && err->kind == QG_ERR_NONE)
        *err = problem;
    return -1;
}

int qg_power_settle(struct qg_run *run, struct qg_qube *qube, long long seconds,
                    struct qg_err *err) {
    if (!qube->exists || !qg_power_is_passing(qube->power))
        return 0;
    QG_AUTO(stream) struct qg_stream stream = {.connection = QG_CONNECTION_CLOSED};
    struct qg_deadline deadline = qg_run_deadline(run, 0);
    if (qg_stream_open(&stream, &qg_run_client(run)->transport, qube->name, &deadline, err) < 0)
        return -1;
    deadline = qg_run_deadline(run, seconds * 1000);
    for (;;) {
        if (look(run, qube, err) < 0)
            return -1;
        if (!qube->exists || !qg_power_is_passing(qube->power))
            return 0;
        if (qg_deadline_left(&deadline) == 0)
            return qg_err_set(err, QG_ERR_TIMEOUT, "%s stayed %s for %lld s", qube->name,
                              qube->power, seconds);
        if (wait_event(run, &stream, &deadline, err) < 0)
            return -1;
    }
}
