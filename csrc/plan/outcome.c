/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What became of a step whose answer was lost. */
#include "plan/run_i.h"

#include "qubes/device.h"
#include "wire/firewall.h"

#include <string.h>
#include <time.h>

enum {
    SETTLE_MS = 5000, /* a daemon that was killed is back by then */
    RETRY_NS = 50 * 1000 * 1000,
};

bool qg_err_is_uncertain(const struct qg_err *failure) {
    switch (failure->kind) {
    case QG_ERR_OOM: /* perhaps only of the answer */
    case QG_ERR_IO:
    case QG_ERR_TIMEOUT:
    case QG_ERR_EOF:
    case QG_ERR_PROTOCOL:
    case QG_ERR_TOO_LARGE:
    case QG_ERR_REFUSED:
    case QG_ERR_INTERRUPTED:
        return true;
    default:
        return false;
    }
}

/* What has to be looked at to see whether the step was done. */
static struct qg_want want_for(const struct qg_step *step, const json_t *name) {
    struct qg_want want = {0};
    switch (step->kind) {
    case QG_STEP_CREATE:
    case QG_STEP_REMOVE:
    case QG_STEP_START:
    case QG_STEP_SHUTDOWN:
    case QG_STEP_KILL:
    case QG_STEP_PAUSE:
    case QG_STEP_UNPAUSE:
        want.power = true;
        break;
    case QG_STEP_PROPERTY_SET:
    case QG_STEP_PROPERTY_RESET:
        want.properties = true;
        break;
    case QG_STEP_FEATURE_SET:
    case QG_STEP_FEATURE_REMOVE:
        want.features = name;
        want.properties = true; /* service.meminfo-writer lives in maxmem */
        break;
    case QG_STEP_TAG_SET:
    case QG_STEP_TAG_REMOVE:
        want.tags = true;
        break;
    case QG_STEP_FIREWALL_SET:
        want.firewall = true;
        break;
    case QG_STEP_ASSIGN:
    case QG_STEP_UNASSIGN:
        want.classes = name;
        break;
    case QG_STEP_VOLUME_RESIZE:
        want.volumes = name;
        break;
    default:
        break;
    }
    return want;
}

static bool holds_assignment(const struct qg_qube *qube, const struct qg_step *step) {
    size_t i;
    json_t *assignment;
    json_array_foreach(qg_qube_assignments(qube, step->name), i, assignment) {
        if (qg_device_same(assignment, json_object_get(step->extra, "device")))
            return true;
    }
    return false;
}

/* True where the qube, just observed, is as the step leaves it. */
static bool is_done(const struct qg_step *step, const struct qg_qube *qube) {
    const char *name = step->name ? step->name : ""; /* most kinds have one */
    const struct qg_property *property = qg_properties_find(&qube->properties, name);
    const char *feature = qg_qube_feature(qube, name);
    switch (step->kind) {
    case QG_STEP_CREATE:
        return qube->exists;
    case QG_STEP_REMOVE:
        return !qube->exists;
    case QG_STEP_PROPERTY_SET:
        return property && !property->is_default &&
               qg_property_equal(name, property->type, property->value, step->value);
    case QG_STEP_PROPERTY_RESET:
        return property && property->is_default;
    case QG_STEP_FEATURE_SET:
        return feature ? strcmp(feature, step->value) == 0
                       : strcmp(name, "service.meminfo-writer") == 0 &&
                             strcmp(qg_properties_value(&qube->properties, "maxmem"), "0") == 0;
    case QG_STEP_FEATURE_REMOVE:
        return !feature;
    case QG_STEP_TAG_SET:
        return qg_qube_has_tag(qube, name);
    case QG_STEP_TAG_REMOVE:
        return !qg_qube_has_tag(qube, name);
    case QG_STEP_FIREWALL_SET: {
        QG_AUTO(json) json_t *rules = qg_firewall_rules(qube->firewall, NULL);
        return json_equal(rules, step->extra);
    }
    case QG_STEP_ASSIGN:
        return holds_assignment(qube, step);
    case QG_STEP_UNASSIGN:
        return !holds_assignment(qube, step);
    case QG_STEP_VOLUME_RESIZE: {
        const char *size = qg_value_get_text(json_object_get(qube->volumes, name), "size");
        return size && strcmp(size, step->value) == 0;
    }
    case QG_STEP_START:
    case QG_STEP_UNPAUSE:
        return qube->power && strcmp(qube->power, "Running") == 0;
    case QG_STEP_SHUTDOWN:
    case QG_STEP_KILL:
        return qube->power && strcmp(qube->power, "Halted") == 0;
    case QG_STEP_PAUSE:
        return qube->power && strcmp(qube->power, "Paused") == 0;
    default:
        return false;
    }
}

/* A client that asks to the end: a report must be true also when we are told to stop. */
static struct qg_client patient_client(const struct qg_run *run,
                                       const struct qg_deadline *deadline) {
    struct qg_client client = run->client;
    client.interrupted = NULL;
    client.timeout_ms = qg_deadline_left(deadline);
    return client;
}

/* True where asking again may bring an answer; waits a little before it says so. */
static bool may_ask_again(const struct qg_err *problem, const struct qg_deadline *deadline) {
    if (!qg_err_is_uncertain(problem) || problem->kind == QG_ERR_OOM ||
        qg_deadline_left(deadline) == 0)
        return false;
    nanosleep(&(struct timespec){.tv_nsec = RETRY_NS}, NULL);
    return true;
}

enum qg_outcome qg_step_outcome(struct qg_run *run, const struct qg_step *step) {
    struct qg_deadline deadline = qg_deadline_in(SETTLE_MS);
    QG_AUTO(json) json_t *name = step->name ? json_pack("[s]", step->name) : NULL;
    struct qg_want want = want_for(step, name);
    for (;;) {
        struct qg_client client = patient_client(run, &deadline);
        QG_AUTO(qube) struct qg_qube qube = {0};
        struct qg_err problem = {0};
        if (qg_qube_init(&qube, step->qube, &problem) == 0 &&
            qg_qube_observe(&qube, &want, &client, NULL, &problem) == 0 && qube.known)
            return is_done(step, &qube) ? QG_OUTCOME_DONE : QG_OUTCOME_NOT_DONE;
        if (!may_ask_again(&problem, &deadline))
            return QG_OUTCOME_UNKNOWN;
    }
}

int qg_run_remove_qube(struct qg_run *run, const char *name, struct qg_err *err) {
    struct qg_deadline deadline = qg_deadline_in(SETTLE_MS);
    for (;;) {
        struct qg_client client = patient_client(run, &deadline);
        struct qg_err problem = {0};
        if (qg_client_do(&client, "admin.vm.Remove", NULL, name, NULL, &problem) == 0 ||
            qg_err_is_qubesd(&problem, "QubesVMNotFoundError"))
            return 0;
        if (may_ask_again(&problem, &deadline))
            continue;
        *err = problem;
        return -1;
    }
}
