/* SPDX-License-Identifier: GPL-3.0-or-later */
/* nvidia.driver_installed. */
#include "nvidia/nvidia.h"
#include "nvidia/steps.h"
#include "nvidia/verify.h"

#include <string.h>

enum {
    NVML_MS = 20 * 1000,
    NVML_LEAST_MS = 5 * 1000,
    CLEAN_UP_MS = 60 * 1000, /* also where the state's own time is over */
};

static int foretell_all(const struct qg_driver_plan *plan, struct qg_report *report,
                        struct qg_err *err) {
    for (size_t i = 0; i < QG_DRIVER_STEPS; i++) {
        if (plan->steps[i].needed && qg_step_foretell(&plan->steps[i], report, err) < 0)
            return -1;
    }
    return 0;
}

static int warn_all(const struct qg_driver_plan *plan, struct qg_report *report,
                    struct qg_err *err) {
    size_t index;
    json_t *warning;
    json_array_foreach(plan->warnings, index, warning) {
        if (qg_report_warn(report, err, "%s", json_string_value(warning)) < 0)
            return -1;
    }
    return 0;
}

static qg_driver_act *act_of(enum qg_driver_step_id id, enum qg_family family) {
    bool debian = family == QG_FAMILY_DEBIAN;
    switch (id) {
    case QG_DRIVER_HEAL:
        return qg_apt_heal;
    case QG_DRIVER_SOURCES:
    case QG_DRIVER_XORG:
        return qg_step_files;
    case QG_DRIVER_REPOSITORIES:
        return qg_dnf_repositories;
    case QG_DRIVER_GRUBBY:
        return qg_dnf_grubby;
    case QG_DRIVER_FLAVOR:
        return qg_dnf_flavor;
    case QG_DRIVER_TMP:
        return qg_dnf_tmp;
    case QG_DRIVER_PACKAGES:
        return debian ? qg_apt_packages : qg_dnf_packages;
    case QG_DRIVER_MODULE:
        return debian ? qg_dkms_module : qg_akmods_module;
    case QG_DRIVER_NOUVEAU:
        return qg_boot_nouveau;
    case QG_DRIVER_PERSISTENCE:
        return qg_service_persistence;
    case QG_DRIVER_STEPS:
        break;
    }
    return NULL;
}

/* Reads the facts again: a step may have changed what the next one is about. */
static int refresh(struct qg_task *task, const struct qg_driver_want *want,
                   struct qg_driver_facts *facts, struct qg_err *err) {
    qg_driver_facts_fini(facts);
    return qg_driver_facts_read(task->host, want, facts, err);
}

static int check_done(enum qg_driver_step_id id, const struct qg_driver_want *want,
                      const struct qg_driver_facts *facts, struct qg_err *err) {
    QG_AUTO(driver_plan) struct qg_driver_plan plan = {0};
    if (id == QG_DRIVER_TMP)
        return 0; /* as large as it is asked for, in pages */
    if (qg_driver_step_plan(id, want, facts, &plan, err) < 0)
        return -1;
    if (plan.steps[id].needed)
        return qg_err_set(err, QG_ERR_IO,
                          "step %s: everything ended well, and still there is to do: %s",
                          qg_driver_step_name(id), plan.steps[id].text);
    return 0;
}

static int set_boot(struct qg_task *task, const struct qg_driver_facts *facts, struct qg_err *err) {
    return qg_value_set_take(task->record, "boot", qg_value_text(facts->boot_id, err), err);
}

/* Does one step where it is needed. */
static int do_step(enum qg_driver_step_id id, struct qg_task *task,
                   const struct qg_driver_want *want, struct qg_driver_facts *facts,
                   struct qg_buf *done, struct qg_err *err) {
    QG_AUTO(driver_plan) struct qg_driver_plan plan = {0};
    if (qg_driver_step_plan(id, want, facts, &plan, err) < 0)
        return -1;
    const struct qg_driver_step *step = &plan.steps[id];
    if (!step->needed)
        return 0;
    task->step = qg_driver_step_name(id);
    qg_task_note(task, "%s: %s", task->step, step->text);
    struct qg_driver_job job = {.task = task, .want = want, .facts = facts, .step = step};
    if (set_boot(task, facts, err) < 0 || qg_boot_remember(task, facts, err) < 0 ||
        act_of(id, facts->release.family)(&job, err) < 0 || refresh(task, want, facts, err) < 0 ||
        check_done(id, want, facts, err) < 0)
        return -1;
    return qg_buf_printf(done, err, "%s%s", done->length ? "\n  " : "", step->text);
}

/* Notes the module that there was and is, also where a later step failed. */
static int note_module(struct qg_task *task, const char *kernel, bool had,
                       const struct qg_module *before, struct qg_err *err) {
    struct qg_module now;
    bool found = false;
    if (kernel[0] && qg_module_find(task->host, kernel, &now, &found, err) < 0)
        return -1;
    bool flavor = found && had && before->flavor != now.flavor;
    if (!found || (had && !flavor && strcmp(before->version, now.version) == 0 &&
                   strcmp(before->path, now.path) == 0))
        return 0;
    return qg_task_change(task, "module", kernel,
                          had ? qg_module_value(before, flavor, err) : json_null(),
                          qg_module_value(&now, flavor, err), err);
}

/* What must happen whether the steps ended well or not. */
static int clean_up(struct qg_task *task, struct qg_err *err) {
    struct qg_err first = {0};
    int64_t own = task->deadline.at_ms, least = qg_clock_ms() + CLEAN_UP_MS;
    task->deadline.at_ms = own < least ? least : own;
    (void)qg_dnf_tmp_restore(task, &first);
    (void)qg_task_packages_end(task, &first);
    task->deadline.at_ms = own;
    return first.kind ? qg_err_set(err, first.kind, "%s", first.text) : 0;
}

static int do_steps(struct qg_task *task, const struct qg_driver_want *want,
                    struct qg_driver_facts *facts, struct qg_buf *done, struct qg_err *err) {
    bool had = facts->has_module;
    struct qg_module before = facts->module;
    char kernel[sizeof(facts->kernel)];
    int status = 0;
    for (int id = 0; status == 0 && id < QG_DRIVER_STEPS; id++)
        status = do_step((enum qg_driver_step_id)id, task, want, facts, done, err);
    memcpy(kernel, facts->kernel, sizeof(kernel)); /* what was read last: a step may bring one */
    struct qg_err cleaning = {0};
    if (clean_up(task, &cleaning) < 0 && status == 0)
        return qg_err_set(err, cleaning.kind, "%s", cleaning.text);
    if (status == 0 && !done->length)
        return 0; /* it is as it was: modinfo would only say so again */
    struct qg_err noting = {0};
    if (note_module(task, kernel, had, &before, &noting) < 0 && status == 0)
        return qg_err_set(err, noting.kind, "%s", noting.text);
    return status;
}

/* Puts on record what proves later that nothing changed. */
static int save_proof(struct qg_task *task, const struct qg_driver_facts *facts,
                      struct qg_err *err) {
    if (!task->changed && facts->release.family != QG_FAMILY_FEDORA)
        return 0;
    QG_AUTO(json) json_t *proof = qg_value_object(err);
    if (facts->release.family == QG_FAMILY_FEDORA &&
        (!proof ||
         qg_value_set_take(proof, "files", qg_driver_proof_files(task->host, err), err) < 0 ||
         qg_value_set_take(proof, "installed", json_incref(facts->installed), err) < 0))
        return -1;
    if (!task->changed && json_equal(proof, json_object_get(task->record, "proof")))
        return 0;
    if (qg_value_set_take(task->record, "proof", QG_STEAL(proof), err) < 0)
        return -1;
    return qg_record_save(task->host, task->record, err);
}

/* True where the qube was restarted since we last changed something here. */
static bool is_restarted(const struct qg_task *task, const struct qg_driver_facts *facts) {
    const char *boot = qg_value_get_text(task->record, "boot");
    return boot && boot[0] && facts->boot_id[0] && strcmp(boot, facts->boot_id) != 0;
}

/* A driver that is there and does not work after a restart is a failure, not a promise. */
static bool awaits_restart(enum qg_verdict_kind kind) {
    switch (kind) {
    case QG_VERDICT_NOUVEAU:
    case QG_VERDICT_UNBOUND:
    case QG_VERDICT_OUTDATED:
    case QG_VERDICT_MISMATCH:
    case QG_VERDICT_BLIND:
    case QG_VERDICT_HANGS:
    case QG_VERDICT_RESTART:
        return true;
    case QG_VERDICT_MISSING:
    case QG_VERDICT_WORKS:
    case QG_VERDICT_LOADED:
    case QG_VERDICT_NO_CARD:
    case QG_VERDICT_NO_NODES:
        break;
    }
    return false;
}

/* The promise holds for one restart, whoever brought what is here. */
static int note_promise(struct qg_task *task, const struct qg_driver_facts *facts,
                        struct qg_err *err) {
    if (task->report->test || qg_value_get_text(task->record, "boot"))
        return 0;
    return set_boot(task, facts, err) < 0 ? -1 : qg_record_save(task->host, task->record, err);
}

/* What the library may take of the state's time, and a little where that is over. */
static struct qg_deadline nvml_deadline(const struct qg_task *task) {
    struct qg_deadline deadline = task->deadline;
    int64_t now = qg_clock_ms();
    if (deadline.at_ms > now + NVML_MS)
        deadline.at_ms = now + NVML_MS;
    if (deadline.at_ms < now + NVML_LEAST_MS)
        deadline.at_ms = now + NVML_LEAST_MS;
    return deadline;
}

static int conclude(struct qg_task *task, const struct qg_driver_facts *facts, const char *done,
                    struct qg_err *err) {
    struct qg_verdict verdict;
    struct qg_deadline deadline = nvml_deadline(task);
    if (qg_driver_verify(task->host, facts, &deadline, &verdict, err) < 0)
        return -1;
    bool promise = awaits_restart(verdict.kind) && strcmp(facts->booted, facts->kernel) == 0;
    if (verdict.kind == QG_VERDICT_MISSING || (promise && is_restarted(task, facts))) {
        if (verdict.kind == QG_VERDICT_RESTART)
            return qg_err_set(err, QG_ERR_IO,
                              "The driver %s is installed for %s, and the qube was restarted, but "
                              "it is not loaded: look into the kernel log.",
                              qg_module_version(&facts->module), facts->kernel);
        return qg_err_set(err, QG_ERR_IO, "%s", verdict.text);
    }
    if ((promise && note_promise(task, facts, err) < 0) ||
        qg_report_say(task->report, err, "%s", verdict.text) < 0)
        return -1;
    if (!done[0])
        return 0;
    return qg_report_say(task->report, err, "Done:\n  %s", done) < 0 ||
                   qg_report_say(task->report, err, "The log is %s.", QG_DRIVER_LOG) < 0
               ? -1
               : 0;
}

static int dry_run(struct qg_task *task, const struct qg_driver_facts *facts,
                   const struct qg_driver_plan *plan, struct qg_err *err) {
    if (foretell_all(plan, task->report, err) < 0 || qg_dnf_tmp_restore(task, err) < 0)
        return -1;
    return task->report->result == QG_RESULT_TRUE ? conclude(task, facts, "", err) : 0;
}

static int real_run(struct qg_task *task, const struct qg_driver_want *want,
                    struct qg_driver_facts *facts, struct qg_err *err) {
    QG_AUTO(buf) struct qg_buf done = {0};
    int status = do_steps(task, want, facts, &done, err);
    if (status == 0)
        status = save_proof(task, facts, err);
    if (status == 0)
        return conclude(task, facts, qg_buf_text(&done), err);
    struct qg_err ignored = {0};
    (void)qg_report_warn(task->report, &ignored, "The log is %s.", QG_DRIVER_LOG);
    return -1;
}

/* Reads the facts, and refuses what cannot be served. */
static int prepare(struct qg_run *run, const struct qg_driver_want *want,
                   struct qg_driver_facts *facts, struct qg_driver_plan *plan, struct qg_err *err) {
    return qg_driver_facts_read(qg_run_host(run), want, facts, err) < 0 ||
                   qg_driver_check_supported(&facts->release, err) < 0 ||
                   qg_driver_check_kernel(want, facts, err) < 0 ||
                   qg_driver_plan_make(want, facts, plan, err) < 0
               ? -1
               : 0;
}

int qg_nvidia_driver_installed(struct qg_run *run, const json_t *args, struct qg_report *report,
                               struct qg_err *err) {
    QG_AUTO(driver_want) struct qg_driver_want want = {0};
    QG_AUTO(driver_facts) struct qg_driver_facts facts = {0};
    QG_AUTO(driver_plan) struct qg_driver_plan plan = {0};
    QG_AUTO(task) struct qg_task task = {0};
    if (qg_driver_want_init(&want, args, err) < 0 ||
        qg_task_init(&task, run, report, want.timeout_ms, err) < 0 ||
        prepare(run, &want, &facts, &plan, err) < 0 || warn_all(&plan, report, err) < 0)
        return -1;
    task.family = facts.release.family;
    task.manager = facts.manager;
    return report->test ? dry_run(&task, &facts, &plan, err) : real_run(&task, &want, &facts, err);
}

int qg_nvidia_plan(struct qg_run *run, const json_t *args, struct qg_report *report,
                   struct qg_err *err) {
    QG_AUTO(driver_want) struct qg_driver_want want = {0};
    QG_AUTO(driver_facts) struct qg_driver_facts facts = {0};
    QG_AUTO(driver_plan) struct qg_driver_plan plan = {0};
    if (qg_driver_want_init(&want, args, err) < 0 || prepare(run, &want, &facts, &plan, err) < 0)
        return -1;
    report->data = qg_value_object(err);
    if (!report->data ||
        qg_value_set_take(report->data, "steps", qg_driver_plan_value(&plan, err), err) < 0)
        return -1;
    return qg_value_set_take(report->data, "warnings", json_incref(plan.warnings), err);
}

static int read_status(struct qg_run *run, struct qg_driver_facts *facts,
                       struct qg_verdict *verdict, struct qg_err *err) {
    QG_AUTO(json) json_t *no_args = qg_value_object(err);
    QG_AUTO(driver_want) struct qg_driver_want want = {0};
    struct qg_deadline deadline = qg_run_deadline(run, NVML_MS);
    return !no_args || qg_driver_want_init(&want, no_args, err) < 0 ||
                   qg_driver_facts_read(qg_run_host(run), &want, facts, err) < 0 ||
                   qg_driver_verify(qg_run_host(run), facts, &deadline, verdict, err) < 0
               ? -1
               : 0;
}

static const char *const no_keys[] = {NULL};

int qg_nvidia_status(struct qg_run *run, const json_t *args, struct qg_report *report,
                     struct qg_err *err) {
    QG_AUTO(driver_facts) struct qg_driver_facts facts = {0};
    struct qg_verdict verdict;
    if (qg_driver_args_check(args, no_keys, err) < 0 || read_status(run, &facts, &verdict, err) < 0)
        return -1;
    QG_AUTO(json) json_t *data = qg_verdict_value(&verdict, err);
    QG_AUTO(json) json_t *more = qg_driver_facts_value(&facts, err);
    if (!data || !more)
        return -1;
    if (json_object_update(data, more) < 0)
        return qg_err_oom(err);
    report->data = QG_STEAL(data);
    return 0;
}

int qg_nvidia_version(struct qg_run *run, const json_t *args, struct qg_report *report,
                      struct qg_err *err) {
    QG_AUTO(driver_facts) struct qg_driver_facts facts = {0};
    struct qg_verdict verdict;
    if (qg_driver_args_check(args, no_keys, err) < 0 || read_status(run, &facts, &verdict, err) < 0)
        return -1;
    const char *versions[] = {verdict.loaded, facts.module.version, verdict.nvml.driver};
    static const char *const keys[] = {"loaded", "installed", "library"};
    report->data = qg_value_object(err);
    for (size_t i = 0; i < QG_ARRAY_LEN(keys); i++) {
        if (!report->data ||
            qg_value_set_take(report->data, keys[i],
                              versions[i][0] ? qg_value_text(versions[i], err) : json_null(),
                              err) < 0)
            return -1;
    }
    return 0;
}

int qg_nvidia_cards(struct qg_run *run, const json_t *args, struct qg_report *report,
                    struct qg_err *err) {
    if (qg_driver_args_check(args, no_keys, err) < 0)
        return -1;
    report->data = qg_driver_cards(qg_run_host(run), err);
    return report->data ? 0 : -1;
}
