/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "salt/salt.h"

#include "gpu/gpu.h"
#include "nvidia/nvidia.h"
#include "qvm/job.h"

#include <string.h>

static const struct qg_function_entry *const tables[] = {qg_qvm_functions, qg_gpu_functions,
                                                         qg_nvidia_functions};

static qg_function *find(const char *name) {
    for (size_t i = 0; i < QG_ARRAY_LEN(tables); i++)
        for (const struct qg_function_entry *entry = tables[i]; entry->name; entry++)
            if (strcmp(entry->name, name) == 0)
                return entry->call;
    return NULL;
}

json_t *qg_salt_call(struct qg_run *run, const char *function, const json_t *args, bool test,
                     struct qg_err *err) {
    qg_function *call = find(function);
    if (!call) {
        qg_err_set(err, QG_ERR_INVALID, "there is no function %s", function);
        return NULL;
    }
    QG_AUTO(report) struct qg_report report = {0};
    if (qg_report_init(&report, test, err) < 0)
        return NULL;
    struct qg_err failure = {0};
    bool failed = call(run, args, &report, &failure) < 0;
    bool told = failure.kind == QG_ERR_OOM && !test && qg_report_has_changes(&report);
    if (failed && !told && (failure.kind == QG_ERR_OOM || failure.kind == QG_ERR_INTERRUPTED)) {
        if (err && err->kind == QG_ERR_NONE)
            *err = failure;
        return NULL;
    }
    struct qg_err problem = {0};
    json_t *answer = qg_report_value(&report, failed ? &failure : NULL, &problem);
    if (!answer && !test && qg_report_has_changes(&report)) {
        qg_err_oom(&failure); /* what was done has to be told, in fewer words if need be */
        answer = qg_report_value(&report, &failure, err);
    } else if (!answer)
        qg_err_oom(err);
    return answer;
}

json_t *qg_salt_functions(struct qg_err *err) {
    QG_AUTO(json) json_t *names = qg_value_array(err);
    for (size_t i = 0; names && i < QG_ARRAY_LEN(tables); i++)
        for (const struct qg_function_entry *entry = tables[i]; entry->name; entry++)
            if (qg_value_append_take(names, qg_value_text(entry->name, err), err) < 0)
                return NULL;
    return QG_STEAL(names);
}
