/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "plan/run_i.h"

#include "base/text.h"
#include "plan/power.h"
#include "plan/program.h"
#include "qubes/device.h"
#include "wire/firewall.h"

#include <stdlib.h>
#include <string.h>

enum {
    TOKEN_LENGTH = 32,     /* of volume.CloneFrom */
    RULES_MAX = 60 * 1024, /* of a firewall: a request has to hold it */
    PATH_MAX_KEYS = 8,
};

static int do_create(struct qg_run *run, const struct qg_step *step, struct qg_err *err) {
    QG_AUTO_STR char *method = qg_text_format("admin.vm.Create.%s", step->value);
    QG_AUTO_STR char *payload =
        qg_text_format("name=%s label=%s", step->qube, qg_value_get_text(step->extra, "label"));
    if (!method || !payload)
        return qg_err_oom(err);
    return qg_client_do(&run->client, method, qg_value_get_text(step->extra, "template"), "dom0",
                        payload, err);
}

/* A disposable removes itself when it is shut down: what is gone is as it should be. */
static int do_remove(struct qg_run *run, const struct qg_step *step, struct qg_err *err) {
    struct qg_err problem = {0};
    if (qg_client_do(&run->client, "admin.vm.Remove", NULL, step->qube, NULL, &problem) == 0 ||
        qg_err_is_qubesd(&problem, "QubesVMNotFoundError"))
        return 0;
    QG_AUTO(buf) struct qg_buf users = {0};
    struct qg_err unknown = {0};
    /* qubesd tells by whom in its log alone */
    if (qg_err_is_qubesd(&problem, "QubesVMInUseError") &&
        qg_run_users(run, step->qube, false, &users, &unknown) < 0 &&
        qg_err_pass_oom(err, &unknown) < 0)
        return -1;
    if (users.length) {
        problem.kind = QG_ERR_NONE; /* its type and place stay */
        qg_err_set(&problem, QG_ERR_QUBESD, "%s is in use: %s", step->qube, users.data);
    }
    if (err && err->kind == QG_ERR_NONE)
        *err = problem;
    return -1;
}

static int do_firewall(struct qg_run *run, const struct qg_step *step, struct qg_err *err) {
    QG_AUTO(buf) struct qg_buf rules = {.cap = RULES_MAX};
    size_t i;
    json_t *rule;
    json_array_foreach(step->extra, i, rule) {
        if (qg_buf_printf(&rules, err, "%s\n", json_string_value(rule)) < 0)
            return -1;
    }
    return qg_client_do(&run->client, "admin.vm.firewall.Set", NULL, step->qube,
                        qg_buf_text(&rules), err);
}

static int do_device(struct qg_run *run, const struct qg_step *step, struct qg_err *err) {
    const json_t *device = json_object_get(step->extra, "device");
    bool assign = step->kind == QG_STEP_ASSIGN;
    QG_AUTO_STR char *method =
        qg_text_format("admin.vm.device.%s.%s", step->name, assign ? "Assign" : "Unassign");
    if (!method)
        return qg_err_oom(err);
    QG_AUTO_STR char *argument = qg_device_argument(device, err);
    QG_AUTO_STR char *payload =
        assign ? qg_device_payload(device, step->name, step->value, step->qube,
                                   json_object_get(step->extra, "options"), err)
               : NULL;
    if (!argument || (assign && !payload))
        return -1;
    return qg_client_do(&run->client, method, argument, step->qube, payload, err);
}

/* The token is good for one CloneTo. */
static int do_volume_clone(struct qg_run *run, const struct qg_step *step, struct qg_err *err) {
    struct qg_call call = {
        .request = {.method = "admin.vm.volume.CloneFrom", .arg = step->name, .dest = step->value}};
    int status = qg_client_call(&run->client, &call, err);
    if (status == 0 && call.data_length != TOKEN_LENGTH)
        status = qg_err_set(err, QG_ERR_PROTOCOL, "admin.vm.volume.CloneFrom on %s: not a token",
                            step->value);
    if (status == 0)
        status = qg_client_do(&run->client, "admin.vm.volume.CloneTo", step->name, step->qube,
                              call.data, err);
    qg_call_fini(&call);
    return status;
}

/* The uuid in the answer to property.Get+uuid; NULL for anything else. Borrowed. */
static const char *uuid_in(const struct qg_call *call) {
    static const char head[] = "default=False type=str ";
    enum { UUID_LENGTH = 36 };
    if (call->data_length != strlen(head) + UUID_LENGTH || !qg_text_starts(call->data, head))
        return NULL;
    const char *uuid = call->data + strlen(head);
    return strspn(uuid, "0123456789abcdef-") == UUID_LENGTH ? uuid : NULL;
}

/* Asks qubesd for the uuid of the new qube and puts it on record. */
static int do_record_uuid(struct qg_run *run, const struct qg_step *step, struct qg_err *err) {
    if (!run->records)
        return 0;
    struct qg_call call = {
        .request = {.method = "admin.vm.property.Get", .arg = "uuid", .dest = step->qube}};
    int status = qg_client_call(&run->client, &call, err);
    const char *uuid = status == 0 ? uuid_in(&call) : NULL;
    if (uuid)
        status = qg_record_write(run, step->qube, step->value, uuid, err);
    else if (status == 0)
        status = qg_err_set(err, QG_ERR_PROTOCOL, "admin.vm.property.Get+uuid on %s: no uuid",
                            step->qube);
    qg_call_fini(&call);
    return status;
}

static int do_step(struct qg_run *run, const struct qg_step *step, struct qg_err *err) {
    const struct qg_client *client = &run->client;
    const char *name = step->name, *qube = step->qube, *value = step->value;
    switch (step->kind) {
    case QG_STEP_CREATE:
        return do_create(run, step, err);
    case QG_STEP_REMOVE:
        return do_remove(run, step, err);
    case QG_STEP_PROPERTY_SET:
        return qg_client_do(client, "admin.vm.property.Set", name, qube, value, err);
    case QG_STEP_PROPERTY_RESET:
        return qg_client_do(client, "admin.vm.property.Reset", name, qube, NULL, err);
    case QG_STEP_FEATURE_SET:
        return qg_client_do(client, "admin.vm.feature.Set", name, qube, value, err);
    case QG_STEP_FEATURE_REMOVE:
        return qg_client_do(client, "admin.vm.feature.Remove", name, qube, NULL, err);
    case QG_STEP_TAG_SET:
        return qg_client_do(client, "admin.vm.tag.Set", name, qube, NULL, err);
    case QG_STEP_TAG_REMOVE:
        return qg_client_do(client, "admin.vm.tag.Remove", name, qube, NULL, err);
    case QG_STEP_FIREWALL_SET:
        return do_firewall(run, step, err);
    case QG_STEP_NOTES_SET:
        return qg_client_do(client, "admin.vm.notes.Set", NULL, qube, value, err);
    case QG_STEP_ASSIGN:
    case QG_STEP_UNASSIGN:
        return do_device(run, step, err);
    case QG_STEP_VOLUME_CLONE:
        return do_volume_clone(run, step, err);
    case QG_STEP_VOLUME_RESIZE:
        return qg_client_do(client, "admin.vm.volume.Resize", name, qube, value, err);
    case QG_STEP_START:
        return qg_power_start(run, step, err);
    case QG_STEP_SHUTDOWN:
        return qg_power_shutdown(run, step, err);
    case QG_STEP_KILL:
        return qg_client_do(client, "admin.vm.Kill", NULL, qube, NULL, err);
    case QG_STEP_PAUSE:
        return qg_client_do(client, "admin.vm.Pause", NULL, qube, NULL, err);
    case QG_STEP_UNPAUSE:
        return qg_client_do(client, "admin.vm.Unpause", NULL, qube, NULL, err);
    case QG_STEP_PROGRAM:
        return qg_program_run(run, step, err);
    case QG_STEP_RECORD_BEGIN:
        return qg_record_write(run, qube, value, NULL, err);
    case QG_STEP_RECORD_UUID:
        return do_record_uuid(run, step, err);
    case QG_STEP_RECORD_END:
        return qg_record_remove(run, qube, err);
    }
    return qg_err_set(err, QG_ERR_INVALID, "a step that nobody knows");
}

/* The step's own change into the report. */
static int note_change(const struct qg_step *step, struct qg_report *report, struct qg_err *err) {
    const char *path[PATH_MAX_KEYS + 1] = {0};
    size_t i;
    json_t *key;
    if (!step->path)
        return 0;
    json_array_foreach(step->path, i, key) {
        if (i < PATH_MAX_KEYS)
            path[i] = json_string_value(key);
    }
    return qg_report_change_take(report, path, json_incref(step->old), json_incref(step->new), err);
}

/* What the report has under the step's path, or NULL; borrowed. *parent: the mapping it is in. */
static json_t *noted(const struct qg_step *step, const struct qg_report *report, size_t levels,
                     json_t **parent) {
    json_t *at = report->changes;
    *parent = NULL;
    for (size_t i = 0; i < levels; i++) {
        *parent = at;
        at = json_object_get(at, json_string_value(json_array_get(step->path, i)));
    }
    return at;
}

/* Takes the step's change back out of the report, and the mappings that it leaves empty. */
static void forget_change(const struct qg_step *step, struct qg_report *report) {
    json_t *parent;
    size_t levels = json_array_size(step->path);
    for (size_t left = levels; left > 0; left--) {
        const json_t *at = noted(step, report, left, &parent);
        if (at && (left == levels || json_object_size(at) == 0))
            json_object_del(parent, json_string_value(json_array_get(step->path, left - 1)));
    }
}

/* Puts back what the report had before the step's change; needs no memory. */
static void restore_change(const struct qg_step *step, json_t *before, struct qg_report *report) {
    json_t *parent;
    size_t levels = json_array_size(step->path);
    if (!before)
        forget_change(step, report);
    else if (noted(step, report, levels, &parent) != before)
        json_object_set(parent, json_string_value(json_array_get(step->path, levels - 1)), before);
}

/* Removes the half-made qube, its record and the changes of its steps until at. What cannot be
 * undone stays in the report. */
static void undo_creation(struct qg_run *run, const struct qg_plan *plan, size_t from, size_t at,
                          struct qg_report *report) {
    const struct qg_step *create = &plan->steps[from];
    struct qg_err problem = {0};
    if (qg_run_remove_qube(run, create->qube, &problem) < 0) {
        char reason[512];
        qg_err_describe(&problem, reason, sizeof(reason));
        json_object_del(create->new,
                        "copied"); /* the report shares it: only part of it was copied */
        qg_report_warn(
            report, NULL,
            "The unfinished qube %s could not be removed (%s); the next run starts over.",
            create->qube, reason);
        return;
    }
    for (size_t i = from; i <= at; i++)
        forget_change(&plan->steps[i], report);
    qg_record_remove(run, create->qube, NULL);
    qg_report_warn(report, NULL, "The unfinished qube %s was removed again.", create->qube);
}

/* The index of the creation that a step belongs to, also where it was applied before. */
static size_t creation_before(const struct qg_plan *plan, size_t at) {
    for (size_t i = at + 1; i-- > 0;)
        if (plan->steps[i].kind == QG_STEP_CREATE)
            return i;
    return plan->count;
}

static enum qg_outcome outcome_of(struct qg_run *run, const struct qg_step *step,
                                  const struct qg_err *failure) {
    /* a program's end is known, and qubesd cannot tell more of it */
    bool matters = step->kind == QG_STEP_CREATE || (step->path && step->kind != QG_STEP_PROGRAM);
    return matters && qg_err_is_uncertain(failure) ? qg_step_outcome(run, step)
                                                   : QG_OUTCOME_NOT_DONE;
}

/* A step has failed: find out what is true now, note it, undo what is half-made. */
static int fail_step(struct qg_run *run, const struct qg_plan *plan, size_t at,
                     struct qg_report *report, const struct qg_err *failure, struct qg_err *err) {
    const struct qg_step *step = &plan->steps[at];
    enum qg_outcome outcome = outcome_of(run, step, failure);
    if (outcome == QG_OUTCOME_DONE && note_change(step, report, NULL) == 0)
        qg_report_warn(report, NULL, "The change was made although its answer was lost.");
    if (outcome == QG_OUTCOME_UNKNOWN)
        qg_report_warn(report, NULL,
                       "Whether this was done is not known: qubesd gives no answer any more.");
    size_t create = step->creating ? creation_before(plan, at) : plan->count;
    if (create < at || (create == at && outcome == QG_OUTCOME_DONE))
        undo_creation(run, plan, create, at, report);
    else if (create == at && outcome == QG_OUTCOME_NOT_DONE)
        qg_record_remove(run, step->qube, NULL); /* nothing was made */
    if (err && err->kind == QG_ERR_NONE) {
        *err = *failure;
        QG_AUTO_STR char *text = qg_step_describe(step, NULL);
        qg_err_at(err, "%s", text ? text : step->qube);
    }
    return -1;
}

int qg_run_apply(struct qg_run *run, struct qg_plan *plan, size_t from, size_t to,
                 struct qg_report *report, struct qg_err *err) {
    for (size_t i = from; i < to; i++) {
        struct qg_err failure = {0};
        const struct qg_step *step = &plan->steps[i];
        json_t *parent;
        QG_AUTO(json)
        json_t *before = json_incref(noted(step, report, json_array_size(step->path), &parent));
        /* First the note, which needs memory: no change is made that could not be told. */
        if (note_change(step, report, &failure) < 0 ||
            (!report->test && do_step(run, step, &failure) < 0)) {
            restore_change(step, before, report);
            if (report->test)
                return qg_err_oom(err);
            return fail_step(run, plan, i, report, &failure, err);
        }
        if (qg_run_note_assigned(run, step, err) < 0)
            return -1;
    }
    return report->test ? qg_run_keep(run, plan, from, to, err) : 0;
}
