/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The functions that only answer: qvm_gpu.cards and qvm_gpu.plan. */
#include "base/text.h"
#include "gpu/functions.h"
#include "gpu/gpu.h"
#include "gpu/survey.h"

#include <string.h>

int qg_gpu_cards(struct qg_run *run, const json_t *args, struct qg_report *report,
                 struct qg_err *err) {
    static const char *const keys[] = {NULL};
    QG_AUTO(survey) struct qg_survey survey = {0};
    qg_run_begin(run);
    if (qg_args_check(args, "cards", keys, err) < 0 || qg_survey_take(run, &survey, NULL, err) < 0)
        return -1;
    report->data = QG_STEAL(survey.cards);
    return 0;
}

/* The state's function; functions that are no states have no plan. */
static qg_function *state_named(const char *name, struct qg_err *err) {
    static const char *const states[] = {"present", "absent", "attached",  "ready",
                                         "hidden",  "shown",  "restarted", NULL};
    bool known = false;
    for (const char *const *state = states; name && *state && !known; state++)
        known = strcmp(*state, name) == 0;
    for (const struct qg_function_entry *entry = qg_gpu_functions; known && entry->name; entry++) {
        if (strcmp(entry->name + strlen("qvm_gpu."), name) == 0)
            return entry->call;
    }
    qg_err_set(err, QG_ERR_INVALID,
               "state: one of present, absent, attached, ready, hidden, shown and restarted is "
               "expected");
    return NULL;
}

/* The arguments of the state itself. */
static json_t *without_state(const json_t *args, struct qg_err *err) {
    json_t *out = qg_value_copy(args, err);
    json_object_del(out, "state");
    return out;
}

int qg_gpu_plan(struct qg_run *run, const json_t *args, struct qg_report *report,
                struct qg_err *err) {
    QG_AUTO(report) struct qg_report dry = {0};
    QG_AUTO(json) json_t *own = without_state(args, err);
    qg_function *call = own ? state_named(qg_value_get_text(args, "state"), err) : NULL;
    if (!call || qg_report_init(&dry, true, err) < 0)
        return -1;
    struct qg_err failure = {0};
    bool failed = call(run, own, &dry, &failure) < 0;
    if (failed && (failure.kind == QG_ERR_OOM || failure.kind == QG_ERR_INTERRUPTED)) {
        if (err && err->kind == QG_ERR_NONE)
            *err = failure;
        return -1;
    }
    report->data = qg_report_value(&dry, failed ? &failure : NULL, err);
    json_object_del(report->data, "data");
    return report->data ? 0 : -1;
}
