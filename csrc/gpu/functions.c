/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "gpu/gpu.h"

#include "gpu/map.h"
#include "gpu/present.h"

/* qvm_gpu.map: the defaults with {prefs, devices, paths} of args merged over them. */
static int function_map(struct qg_run *run, const json_t *args, struct qg_report *report,
                        struct qg_err *err) {
    (void)run;
    report->data = qg_map_render(args, err);
    return report->data ? 0 : -1;
}

const struct qg_function_entry qg_gpu_functions[] = {
    {"qvm_gpu.map", function_map},
    {"qvm_gpu.present", qg_gpu_present},
    {NULL, NULL},
};
