/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The states qvm_gpu.attached and qvm_gpu.absent. */
#include "base/text.h"
#include "gpu/functions.h"
#include "gpu/listed.h"
#include "gpu/survey.h"
#include "qubes/device.h"
#include "qvm/assign.h"
#include "qvm/job.h"
#include "wire/name.h"

#include <string.h>

enum { SHUTDOWN_TIMEOUT_S = 60 };

static const char changes_key[] = "qvm_gpu.attached";

static const char *name_of(const json_t *args, struct qg_err *err) {
    const char *name = qg_value_get_text(args, "name");
    if (!name)
        qg_err_set(err, QG_ERR_INVALID, "name: a qube's name is expected");
    return name && qg_name_check_qube(name, err) == 0 ? name : NULL;
}

int qg_gpu_absent(struct qg_run *run, const json_t *args, struct qg_report *report,
                  struct qg_err *err) {
    static const char *const keys[] = {"name", NULL};
    const char *name = name_of(args, err);
    const struct qg_request_action absent = {.action = &qg_action_absent};
    if (!name || qg_args_check(args, "absent", keys, err) < 0)
        return -1;
    return qg_args_blame("absent", qg_job_run(run, name, &absent, 1, false, report, err), err);
}

/* True where the assignment is one of the card's functions. */
static bool is_of_card(const json_t *assignment, const json_t *card) {
    const char *port = qg_value_get_text(assignment, "port_id");
    const char *backend = qg_value_get_text(assignment, "backend_domain");
    size_t i;
    json_t *function;
    json_array_foreach(json_object_get(card, "functions"), i, function) {
        if (port && strcmp(port, qg_value_get_text(function, "port")) == 0 &&
            (!backend || strcmp(backend, "dom0") == 0))
            return true;
    }
    return false;
}

/* The change path changes_key > qube > what. */
static json_t *path_of(const char *qube, const char *what) {
    return json_pack("[s,s,s]", changes_key, qube, what);
}

/* A running qube gives its card only by force, and stops for it. */
static int plan_stop(struct qg_plan *plan, struct qg_qube *qube, bool force, struct qg_err *err) {
    if (!qube->power || strcmp(qube->power, "Halted") == 0)
        return 0;
    if (!force)
        return qg_err_set(err, QG_ERR_INVALID,
                          "%s has the card and is %s: shut it down first, or say force", qube->name,
                          qube->power);
    QG_AUTO(json) json_t *old = qg_value_text(qube->power, err);
    bool paused = strcmp(qube->power, "Paused") == 0;
    json_t *options =
        json_pack("{s:b, s:b, s:i}", "force", 1, "kill", 1, "timeout", SHUTDOWN_TIMEOUT_S);
    struct qg_step *step = options ? qg_plan_add(plan, paused ? QG_STEP_KILL : QG_STEP_SHUTDOWN,
                                                 qube, NULL, NULL, options, err)
                                   : NULL;
    if (!step || !old)
        return qg_err_oom(err);
    return qg_step_change_take(step, path_of(qube->name, "power_state"), QG_STEAL(old),
                               qg_value_text("Halted", err), err);
}

static int plan_unassign(struct qg_plan *plan, struct qg_qube *qube, const json_t *assignment,
                         struct qg_err *err) {
    QG_AUTO(json) json_t *extra = qg_value_object(err);
    if (!extra || qg_value_set_take(extra, "device", qg_value_copy(assignment, err), err) < 0)
        return -1;
    struct qg_step *step =
        qg_plan_add(plan, QG_STEP_UNASSIGN, qube, "pci", NULL, QG_STEAL(extra), err);
    return step ? qg_step_change_take(step,
                                      path_of(qube->name, qg_value_get_text(assignment, "port_id")),
                                      qg_value_text("assigned", err), json_null(), err)
                : -1;
}

/* Plans to take the card from one qube. */
static int plan_release(struct qg_run *run, const json_t *card, const char *name, bool force,
                        bool test, struct qg_plan *plan, struct qg_err *err) {
    QG_AUTO(qube) struct qg_qube qube = {0};
    QG_AUTO(json) json_t *classes = json_pack("[s]", "pci");
    const struct qg_want want = {.power = true, .classes = classes};
    if (!classes)
        return qg_err_oom(err);
    if (qg_run_observe(run, name, &want, false, test, &qube, err) < 0)
        return -1;
    QG_AUTO(json) json_t *now = qg_value_copy(qg_qube_assignments(&qube, "pci"), err);
    size_t i;
    json_t *assignment;
    bool first = true;
    json_array_foreach(now, i, assignment) {
        if (!is_of_card(assignment, card))
            continue;
        if ((first && plan_stop(plan, &qube, force, err) < 0) ||
            plan_unassign(plan, &qube, assignment, err) < 0)
            return -1;
        first = false;
    }
    return 0;
}

/* Takes the card from all qubes but the one that is to have it: all planned, then all done. */
static int release(struct qg_run *run, const json_t *card, const char *to, bool force,
                   struct qg_report *report, struct qg_err *err) {
    QG_AUTO(plan) struct qg_plan plan = {0};
    size_t i;
    json_t *qube;
    json_array_foreach(json_object_get(card, "assigned"), i, qube) {
        const char *name = json_string_value(qube);
        if (strcmp(name, to) != 0 &&
            plan_release(run, card, name, force, report->test, &plan, err) < 0)
            return -1;
    }
    size_t count = plan.count;
    for (i = 0; i < count; i++) {
        QG_AUTO_STR char *text = qg_step_describe(&plan.steps[i], err);
        if (!text || qg_report_say(report, err, "%s", text) < 0)
            return -1;
    }
    return qg_run_apply(run, &plan, 0, count, report, err);
}

/* Assigning does no harm; a start would pull the card from under the driver. */
static int warn_of_drivers(const json_t *card, struct qg_report *report, struct qg_err *err) {
    QG_AUTO(json) json_t *drivers = qg_listed_drivers(card, NULL, err);
    QG_AUTO_STR char *names = drivers ? qg_listed_text(drivers, err) : NULL;
    if (!names)
        return -1;
    return json_array_size(drivers)
               ? qg_report_warn(report, err,
                                "before the qube starts, hide the card from dom0 (state "
                                "qvm_gpu.hidden) and reboot dom0, whose drivers hold: %s.",
                                names)
               : 0;
}

/* Gives all functions to the qube, which keeps its other devices. */
static int assign(struct qg_run *run, const json_t *card, const char *name,
                  struct qg_report *report, struct qg_err *err) {
    QG_AUTO(json) json_t *body = qg_value_object(err);
    if (!body || qg_value_set_take(body, "pcidevs", qg_card_refs(card, err), err) < 0)
        return -1;
    const struct qg_request_action prefs = {.action = &qg_action_prefs, .body = body};
    return qg_args_blame("attached", qg_job_run(run, name, &prefs, 1, false, report, err), err);
}

/* The qube is there, now, or in a dry run by an earlier state, and can be given the card. */
static int check_qube(struct qg_run *run, const char *name, bool test, struct qg_err *err) {
    QG_AUTO(qube) struct qg_qube qube = {0};
    const struct qg_want want = {.properties = true};
    if (qg_run_observe(run, name, &want, false, test, &qube, err) < 0)
        return -1;
    if (!qube.exists)
        return qg_err_set(err, QG_ERR_INVALID, "there is no qube %s (qvm_gpu.present makes one)",
                          name);
    return qg_assign_check_class(&qube, true, err) < 0 ? -1 : qg_assign_check_mode(&qube, err);
}

int qg_gpu_attached(struct qg_run *run, const json_t *args, struct qg_report *report,
                    struct qg_err *err) {
    static const char *const keys[] = {"name", "devices", "force", NULL};
    QG_AUTO(survey) struct qg_survey survey = {0};
    const char *name = name_of(args, err);
    bool force;
    qg_run_begin(run);
    if (!name || qg_args_check(args, "attached", keys, err) < 0 ||
        qg_args_bool(args, "force", &force, err) < 0 ||
        qg_survey_take(run, &survey, NULL, err) < 0 ||
        (report->test && qg_survey_foresee(run, &survey, err) < 0))
        return -1;
    const json_t *card = qg_survey_pick(&survey, args, false, err);
    if (!card || (!force && qg_card_check_group(card, err) < 0) ||
        check_qube(run, name, report->test, err) < 0 ||
        release(run, card, name, force, report, err) < 0)
        return -1;
    return warn_of_drivers(card, report, err) < 0 ? -1 : assign(run, card, name, report, err);
}
