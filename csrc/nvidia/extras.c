/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The small states beside the driver, and the table of all. */
#include "nvidia/nvidia.h"
#include "nvidia/steps.h"

#include <stdio.h>
#include <string.h>

const struct qg_function_entry qg_nvidia_functions[] = {
    {"nvidia.driver_installed", qg_nvidia_driver_installed},
    {"nvidia.driver_removed", qg_nvidia_driver_removed},
    {"nvidia.nouveau_disabled", qg_nvidia_nouveau_disabled},
    {"nvidia.prime_offload", qg_nvidia_prime_offload},
    {"nvidia.swap_minimized", qg_nvidia_swap_minimized},
    {"nvidia.kernel_ready", qg_nvidia_kernel_ready},
    {"nvidia.status", qg_nvidia_status},
    {"nvidia.version", qg_nvidia_version},
    {"nvidia.cards", qg_nvidia_cards},
    {"nvidia.plan", qg_nvidia_plan},
    {NULL, NULL},
};

enum { FILE_MS = 3600 * 1000 }; /* for another state to end; the file itself takes none */

/* Foretells a file's new content, or writes it. */
static int manage_file(struct qg_run *run, struct qg_report *report, const char *path,
                       const char *content, mode_t mode, struct qg_err *err) {
    QG_AUTO(task) struct qg_task task = {0};
    if (qg_task_init(&task, run, report, FILE_MS, err) < 0)
        return -1;
    task.step = "file";
    return qg_task_write(&task, path, content, mode, err);
}

/* "$@": what was one argument stays one. */
int qg_nvidia_prime_offload(struct qg_run *run, const json_t *args, struct qg_report *report,
                            struct qg_err *err) {
    static const char *const known[] = {"name", "path", NULL};
    static const char script[] =
        "#!/bin/sh\n"
        "# Runs a program on the NVIDIA card: nvrun PROGRAM [ARGUMENT]...\n"
        "export __NV_PRIME_RENDER_OFFLOAD=1\n"
        "export __GLX_VENDOR_LIBRARY_NAME=nvidia\n"
        "export __VK_LAYER_NV_optimus=NVIDIA_only\n"
        "exec \"$@\"\n";
    const char *path = "/usr/local/bin/nvrun";
    if (qg_driver_args_check(args, known, err) < 0 ||
        qg_driver_args_path(args, "path", &path, err) < 0 ||
        manage_file(run, report, path, script, 0755, err) < 0)
        return -1;
    bool would = report->result == QG_RESULT_WOULD;
    return qg_report_say(report, err, "%s PROGRAM %s a program on the NVIDIA card.", path,
                         would ? "would run" : "runs");
}

/* The kernel's own setting, in the running system too (never under a test root: /proc there may be
 * the computer's). */
static int set_running(struct qg_host *host, struct qg_report *report, struct qg_err *err) {
    static const char path[] = "/proc/sys/vm/swappiness";
    static const char *const change[] = {"sysctl", "vm.swappiness", NULL};
    QG_AUTO(buf) struct qg_buf text = {0};
    bool found;
    if (qg_host_root(host)[0])
        return 0;
    if (qg_host_read(host, path, &text, &found, err) < 0)
        return -1;
    char now[16];
    snprintf(now, sizeof(now), "%.*s", (int)strcspn(qg_buf_text(&text), "\n"), qg_buf_text(&text));
    if (!found || strcmp(now, "0") == 0)
        return 0;
    if (!report->test && qg_host_append(host, path, "0\n", 2, 0644, err) < 0)
        return -1;
    return qg_report_change_take(report, change, qg_value_text(now, err), qg_value_text("0", err),
                                 err);
}

int qg_nvidia_swap_minimized(struct qg_run *run, const json_t *args, struct qg_report *report,
                             struct qg_err *err) {
    static const char *const known[] = {"name", NULL};
    static const char path[] = "/etc/sysctl.d/99-qvm-gpu-swap.conf";
    if (qg_driver_args_check(args, known, err) < 0 ||
        manage_file(run, report, path, "vm.swappiness = 0\n", 0644, err) < 0 ||
        set_running(qg_run_host(run), report, err) < 0)
        return -1;
    return qg_report_say(report, err, "%s",
                         report->result == QG_RESULT_WOULD
                             ? "memory would be swapped out only where there is no other way"
                             : "Memory is swapped out only where there is no other way.");
}

static int disable_nouveau(struct qg_task *task, struct qg_report *report,
                           const struct qg_driver_want *want, const struct qg_driver_facts *facts,
                           struct qg_err *err) {
    QG_AUTO(driver_plan) struct qg_driver_plan plan = {0};
    struct qg_driver_step *step = &plan.steps[QG_DRIVER_NOUVEAU];
    if (qg_driver_plan_nouveau(want, facts, step, err) < 0)
        return -1;
    if (!step->needed)
        return qg_report_say(report, err, "Nouveau is kept away from the card.");
    if (report->test)
        return qg_step_foretell(step, report, err);
    task->step = "nouveau";
    struct qg_driver_job job = {.task = task, .want = want, .facts = facts, .step = step};
    if (qg_boot_nouveau(&job, err) < 0)
        return -1;
    return qg_report_say(report, err,
                         "Nouveau is kept away from the card from the next start of the qube on.");
}

int qg_nvidia_nouveau_disabled(struct qg_run *run, const json_t *args, struct qg_report *report,
                               struct qg_err *err) {
    static const char *const known[] = {"name", "timeout", "kernel", "paths", NULL};
    QG_AUTO(driver_want) struct qg_driver_want want = {0};
    QG_AUTO(driver_facts) struct qg_driver_facts facts = {0};
    QG_AUTO(task) struct qg_task task = {0};
    if (qg_driver_args_check(args, known, err) < 0 || qg_driver_want_init(&want, args, err) < 0 ||
        qg_task_init(&task, run, report, want.timeout_ms, err) < 0 ||
        qg_driver_facts_read(qg_run_host(run), &want, &facts, err) < 0 ||
        qg_driver_check_supported(&facts.release, err) < 0 ||
        qg_driver_check_kernel(&want, &facts, err) < 0)
        return -1;
    if (facts.release.family == QG_FAMILY_FEDORA && !facts.grub_out[0])
        return qg_report_say(report, err,
                             "There is no grub.cfg: this qube boots a kernel of dom0's, and what "
                             "it loads is not decided here (the qube's kernelopts are).");
    return disable_nouveau(&task, report, &want, &facts, err);
}
