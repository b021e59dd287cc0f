/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "gpu/gpu.h"

#include "gpu/functions.h"
#include "gpu/map.h"
#include "gpu/present.h"

/* qvm_gpu.map: the defaults, then args' `pillar`, then its `over`, each {prefs, devices, paths}. */
static int function_map(struct qg_run *run, const json_t *args, struct qg_report *report,
                        struct qg_err *err) {
    (void)run;
    QG_AUTO(json) json_t *lower = qg_map_render(json_object_get(args, "pillar"), err);
    QG_AUTO(json)
    json_t *both =
        lower ? qg_value_merge(json_object_get(args, "pillar"), json_object_get(args, "over"), err)
              : NULL;
    report->data = both ? qg_map_render(both, err) : NULL;
    return report->data ? 0 : -1;
}

const struct qg_function_entry qg_gpu_functions[] = {
    {"qvm_gpu.map", function_map},
    {"qvm_gpu.present", qg_gpu_present},
    {"qvm_gpu.absent", qg_gpu_absent},
    {"qvm_gpu.attached", qg_gpu_attached},
    {"qvm_gpu.ready", qg_gpu_ready},
    {"qvm_gpu.hidden", qg_gpu_hidden},
    {"qvm_gpu.shown", qg_gpu_shown},
    {"qvm_gpu.cards", qg_gpu_cards},
    {"qvm_gpu.preflight", qg_gpu_preflight},
    {"qvm_gpu.plan", qg_gpu_plan},
    {"qvm_gpu.report", qg_gpu_report},
    {"qvm_gpu.restarted", qg_gpu_restarted},
    {NULL, NULL},
};
