/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "nvidia/steps.h"

#include "base/text.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- repositories ---- */

/* The ids as dnf5's setopt wants them. New list or NULL. */
static json_t *set_options(const json_t *ids, const char *tail, struct qg_err *err) {
    QG_AUTO(json) json_t *out = qg_value_array(err);
    size_t index;
    json_t *id;
    json_array_foreach(ids, index, id) {
        if (out && qg_value_append_take(
                       out, qg_value_format(err, "%s.%s", json_string_value(id), tail), err) < 0)
            return NULL;
    }
    return QG_STEAL(out);
}

static int enable(struct qg_task *task, const json_t *ids, struct qg_host_result *result,
                  struct qg_err *err) {
    static const char *const four[] = {"dnf", "config-manager", "--set-enabled", NULL};
    static const char *const five[] = {"dnf", "config-manager", "setopt", NULL};
    if (task->manager == QG_MANAGER_DNF4)
        return qg_task_run_names(task, four, ids, result, err);
    QG_AUTO(json) json_t *options = set_options(ids, "enabled=1", err);
    /* Without the folder setopt fails. */
    if (!options || qg_host_mkdirs(task->host, "/etc/dnf/repos.override.d", err) < 0)
        return -1;
    return qg_task_run_names(task, five, options, result, err);
}

/* What dnf itself takes for enabled. */
static int read_repolist(struct qg_task *task, json_t *repos, struct qg_err *err) {
    const char *four[] = {"dnf", "-q", "repolist", NULL};
    const char *five[] = {"dnf", "repolist", "--json", NULL};
    struct qg_host_command command = {.argv = task->manager == QG_MANAGER_DNF4 ? four : five,
                                      .separate_stderr = true};
    QG_AUTO(host_result) struct qg_host_result result = {0};
    if (qg_host_run(task->host, &command, &task->deadline, &result, err) < 0)
        return -1;
    if (result.exit_code)
        return qg_task_failed(task, "dnf repolist", &result, err);
    return qg_parse_repolist(qg_buf_text(&result.out), repos, err);
}

int qg_dnf_repositories(const struct qg_driver_job *job, struct qg_err *err) {
    struct qg_task *task = job->task;
    QG_AUTO(json) json_t *repos = qg_value_object(err);
    QG_AUTO(host_result) struct qg_host_result result = {0};
    size_t index;
    json_t *id;
    json_array_foreach(job->step->names, index, id) {
        if (qg_record_add(task->record, "repositories", json_string_value(id), err) < 0)
            return -1;
    }
    if (!repos || qg_record_save(task->host, task->record, err) < 0 ||
        enable(task, job->step->names, &result, err) < 0)
        return -1;
    if (result.exit_code) {
        qg_task_failed(task, "dnf config-manager", &result, err);
        struct qg_err ignored = {0};
        (void)qg_report_warn(task->report, &ignored,
                             "RPM Fusion's repositories come with the packages "
                             "rpmfusion-free-release and rpmfusion-nonfree-release, dnf's "
                             "config-manager with dnf-plugins-core");
        return -1;
    }
    if (read_repolist(task, repos, err) < 0)
        return -1;
    json_array_foreach(job->step->names, index, id) {
        const char *name = json_string_value(id);
        if (!json_is_true(json_object_get(repos, name)))
            return qg_err_set(err, QG_ERR_IO,
                              "step repositories: %s is still not in dnf's repolist", name);
        if (qg_task_change(task, "repositories", name, qg_value_text("disabled", err),
                           qg_value_text("enabled", err), err) < 0)
            return -1;
    }
    return 0;
}

/* ---- packages ---- */

/* True where no enabled repository can be reached: dnf5 says only that nothing matches. */
static int look_offline(struct qg_task *task, struct qg_err *err) {
    static const char *const argv[] = {
        "dnf", "-y", "makecache", "--refresh", "--setopt=*.skip_if_unavailable=0", NULL};
    QG_AUTO(host_result) struct qg_host_result result = {0};
    if (qg_task_run(task, argv, &result, err) < 0)
        return -1;
    task->offline = result.exit_code && qg_parse_is_offline(qg_buf_text(&result.out));
    return 0;
}

static int install_failed(struct qg_task *task, const struct qg_host_result *result,
                          struct qg_err *err) {
    const char *text = qg_buf_text(&result->out);
    /* A full disk looks the same: no cache, no match. */
    bool full = qg_task_full_disk(task) != NULL;
    task->offline = !full && qg_parse_is_offline(text);
    if (!full && !task->offline && task->manager == QG_MANAGER_DNF5 && strstr(text, "match") &&
        look_offline(task, err) < 0)
        return -1;
    if (task->offline)
        qg_err_set(err, QG_ERR_IO,
                   "step %s: no repository can be reached, so nothing was installed", task->step);
    return qg_task_failed(task, "dnf install", result, err);
}

int qg_dnf_install(struct qg_task *task, const json_t *names, struct qg_err *err) {
    static const char *const words[] = {"dnf", "-y", "install", NULL};
    QG_AUTO(host_result) struct qg_host_result result = {0};
    if (qg_task_packages_begin(task, err) < 0 || qg_task_wait_for_locks(task, err) < 0 ||
        qg_task_run_names(task, words, names, &result, err) < 0)
        return -1;
    return result.exit_code ? install_failed(task, &result, err) : 0;
}

int qg_dnf_packages(const struct qg_driver_job *job, struct qg_err *err) {
    return qg_dnf_install(job->task, job->step->names, err);
}

/* rpm removes nothing else; where something needs it, dnf puts grubby in its place. */
int qg_dnf_grubby(const struct qg_driver_job *job, struct qg_err *err) {
    static const char *const remove[] = {"rpm", "-e", "grubby-dummy", NULL};
    static const char *const swap[] = {"dnf", "-y", "install", "--allowerasing", "grubby", NULL};
    struct qg_task *task = job->task;
    if (qg_task_write_files(task, job->step->files, err) < 0)
        return -1;
    if (!job->step->names)
        return 0;
    QG_AUTO(host_result) struct qg_host_result result = {0};
    if (qg_task_packages_begin(task, err) < 0 || qg_task_wait_for_locks(task, err) < 0 ||
        qg_task_run(task, remove, &result, err) < 0)
        return -1;
    return result.exit_code ? qg_task_must(task, swap, err) : 0;
}

/* The module that is there may have been built for the other flavour. */
int qg_dnf_flavor(const struct qg_driver_job *job, struct qg_err *err) {
    enum qg_flavor built = job->facts->module.flavor;
    bool fits = built == job->want->flavor && built != QG_FLAVOR_AUTO;
    if (job->facts->has_module && !fits && qg_task_flag(job->task, "rebuild", true, err) < 0)
        return -1;
    return qg_task_write_files(job->task, job->step->files, err);
}

/* ---- /tmp ---- */

static int remount_tmp(struct qg_task *task, uint64_t size, struct qg_err *err) {
    char option[64];
    snprintf(option, sizeof(option), "remount,size=%" PRIu64, size);
    const char *argv[] = {"mount", "-o", option, "/tmp", NULL};
    return qg_task_must(task, argv, err);
}

static json_int_t tmp_before(const struct qg_task *task) {
    return json_integer_value(json_object_get(task->record, "tmp"));
}

int qg_dnf_tmp(const struct qg_driver_job *job, struct qg_err *err) {
    struct qg_task *task = job->task;
    if (!json_object_get(task->record, "tmp") &&
        (qg_value_set_take(task->record, "tmp", qg_value_int((json_int_t)job->facts->tmp.size, err),
                           err) < 0 ||
         qg_record_save(task->host, task->record, err) < 0))
        return -1;
    task->enlarged = tmp_before(task) == (json_int_t)job->facts->tmp.size;
    return remount_tmp(task, job->want->tmp_size, err);
}

int qg_dnf_tmp_restore(struct qg_task *task, struct qg_err *err) {
    json_int_t size = tmp_before(task);
    if (size <= 0)
        return 0;
    task->step = qg_driver_step_name(QG_DRIVER_TMP);
    struct qg_host_space now = {0};
    if (qg_host_space(task->host, "/tmp", &now, err) < 0)
        return -1;
    /* After a restart it is a fresh one. */
    bool test = task->report->test, differs = now.in_memory && now.size != (uint64_t)size;
    if (differs && !test && remount_tmp(task, (uint64_t)size, err) < 0)
        return -1;
    if (differs && !task->enlarged &&
        qg_task_change(task, "tmp", "/tmp", qg_value_int((json_int_t)now.size, err),
                       qg_value_int(size, err), err) < 0)
        return -1;
    if (test)
        return differs ? qg_report_say(task->report, err, "would give /tmp its size back") : 0;
    json_object_del(task->record, "tmp");
    return qg_record_save(task->host, task->record, err);
}
