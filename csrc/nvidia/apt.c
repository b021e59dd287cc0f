/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "nvidia/steps.h"

#include "base/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    WORDS_MAX = 16,
    QUOTED_LINES = 3,
    LOG_TAIL = 256 * 1024, /* of make.log: the first error of the last build lies in it */
};

int qg_apt_get(struct qg_task *task, const char *const *words, const json_t *names,
               struct qg_host_result *result, struct qg_err *err) {
    static const char *const options[] = {"apt-get",
                                          "-y",
                                          "-q",
                                          "-o",
                                          "DPkg::Lock::Timeout=300",
                                          "-o",
                                          "Dpkg::Options::=--force-confdef",
                                          "-o",
                                          "Dpkg::Options::=--force-confold",
                                          "-o",
                                          "Dpkg::Use-Pty=0"};
    const char **argv =
        calloc(QG_ARRAY_LEN(options) + WORDS_MAX + json_array_size(names) + 2, sizeof(*argv));
    if (!argv)
        return qg_err_oom(err);
    size_t count = 0;
    for (; count < QG_ARRAY_LEN(options); count++)
        argv[count] = options[count];
    for (size_t i = 0; words[i] && i < WORDS_MAX; i++)
        argv[count++] = words[i];
    if (names)
        argv[count++] = "--";
    size_t index;
    json_t *name;
    json_array_foreach(names, index, name) {
        argv[count++] = json_string_value(name);
    }
    int status = qg_task_run(task, argv, result, err);
    free(argv);
    return status;
}

/* Servers that cannot be reached are no failure yet: the lists may be there. */
static int update(struct qg_task *task, struct qg_host_result *result, struct qg_err *err) {
    static const char *const words[] = {"update", NULL};
    if (qg_task_wait_for_locks(task, err) < 0 || qg_apt_get(task, words, NULL, result, err) < 0)
        return -1;
    task->offline = !qg_task_full_disk(task) && qg_parse_is_offline(qg_buf_text(&result->out));
    return 0;
}

/* Quotes why lists could not be fetched. */
static void warn_update(struct qg_task *task, const struct qg_host_result *updated) {
    const char *text = qg_buf_text(&updated->out);
    QG_AUTO(buf) struct qg_buf lines = {0};
    struct qg_err ignored = {0};
    if ((updated->exit_code || strstr(text, "Err:")) &&
        qg_parse_manager_errors(text, QUOTED_LINES, &lines, &ignored) == 0)
        (void)qg_report_warn(task->report, &ignored, "apt-get update said:\n%s",
                             qg_buf_text(&lines));
}

/* Why a simulation failed, in words that say what to do. */
static int not_installable(struct qg_task *task, const struct qg_host_result *updated,
                           const struct qg_host_result *result, const json_t *names,
                           const json_t *held, struct qg_err *err) {
    struct qg_err ignored = {0};
    if (task->offline) {
        qg_err_set(err, QG_ERR_IO,
                   "step %s: no repository can be reached, so nothing was installed", task->step);
        (void)qg_task_failed(task, "apt-get -s install", result, err);
        return -1;
    }
    qg_task_failed(task, "apt-get -s install", result, err);
    warn_update(task, updated);
    if (qg_driver_list_has(names, "nvidia-open-kernel-dkms"))
        (void)qg_report_warn(task->report, &ignored,
                             "the open module cannot be installed from this release's archive: "
                             "use flavor: proprietary");
    size_t index;
    json_t *name;
    json_array_foreach(held, index, name) {
        (void)qg_report_warn(task->report, &ignored, "on hold: %s (apt-mark unhold frees it)",
                             json_string_value(name));
    }
    return -1;
}

/* By the clock that files are stamped with. */
static int64_t now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME_COARSE, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* Reads the log of a DKMS build that failed; an older one is another failure's. */
static int read_make_log(struct qg_host *host, const char *module, int64_t since,
                         struct qg_buf *out, char *version, size_t size, struct qg_err *err) {
    QG_AUTO_STR char *folder = qg_text_format("/var/lib/dkms/%s", module);
    QG_AUTO(names) char **versions = folder ? qg_host_list(host, folder, err) : NULL;
    if (!versions)
        return folder ? -1 : qg_err_oom(err);
    for (char **name = versions; *name && !out->length; name++) {
        QG_AUTO_STR char *path = qg_text_format("%s/%s/build/make.log", folder, *name);
        bool found;
        if (!path)
            return qg_err_oom(err);
        snprintf(version, size, "%s", *name);
        if (qg_host_mtime(host, path) >= since &&
            qg_host_read_part(host, path, -LOG_TAIL, LOG_TAIL, out, &found, err) < 0)
            return -1;
    }
    return 0;
}

/* Fails with the compiler's words where a module did not build; 0 where there is no such log. */
static int quote_build(struct qg_task *task, int64_t since, struct qg_err *err) {
    QG_AUTO(names) char **modules = qg_host_list(task->host, "/var/lib/dkms", err);
    for (char **module = modules; module && *module; module++) {
        QG_AUTO(buf) struct qg_buf log = {0};
        QG_AUTO(buf) struct qg_buf lines = {0};
        char version[64] = "";
        if (!qg_text_starts(*module, "nvidia"))
            continue;
        if (read_make_log(task->host, *module, since, &log, version, sizeof(version), err) < 0)
            return -1;
        if (!log.length)
            continue;
        if (qg_parse_build_errors(qg_buf_text(&log), QUOTED_LINES, &lines, err) < 0)
            return -1;
        const char *text = qg_buf_text(&lines);
        size_t first = strcspn(text, "\n");
        qg_err_set(err, QG_ERR_IO, "step %s: the module %s/%s does not build: %.*s", task->step,
                   *module, version, (int)(first > 2 ? first - 2 : 0), text + (first > 2 ? 2 : 0));
        struct qg_err ignored = {0};
        (void)qg_report_warn(task->report, &ignored, "/var/lib/dkms/%s/%s/build/make.log says:\n%s",
                             *module, version, text);
        return -1;
    }
    return modules ? 0 : -1;
}

/* Fails: with the compiler's words where there are some, else with the program's. */
static int build_failed(struct qg_task *task, const char *what, int64_t since,
                        const struct qg_host_result *result, struct qg_err *err) {
    if (quote_build(task, since, err) < 0)
        return -1;
    return qg_task_failed(task, what, result, err);
}

int qg_apt_install(struct qg_task *task, const json_t *names, const json_t *held,
                   struct qg_err *err) {
    static const char *const simulate[] = {"-s", "install", NULL};
    static const char *const install[] = {"install", NULL};
    QG_AUTO(host_result) struct qg_host_result updated = {0};
    QG_AUTO(host_result) struct qg_host_result simulated = {0};
    QG_AUTO(host_result) struct qg_host_result result = {0};
    if (update(task, &updated, err) < 0 || qg_apt_get(task, simulate, names, &simulated, err) < 0)
        return -1;
    if (simulated.exit_code)
        return not_installable(task, &updated, &simulated, names, held, err);
    int64_t since = now_ns();
    if (qg_task_packages_begin(task, err) < 0 || qg_task_wait_for_locks(task, err) < 0 ||
        qg_apt_get(task, install, names, &result, err) < 0)
        return -1;
    return result.exit_code ? build_failed(task, "apt-get install", since, &result, err) : 0;
}

int qg_apt_packages(const struct qg_driver_job *job, struct qg_err *err) {
    return qg_apt_install(job->task, job->step->names, job->facts->held, err);
}

/* ---- what an earlier installation left ---- */

/* Broken packages of the other flavour: they would fail for ever. */
static json_t *unwanted_modules(const struct qg_driver_job *job, struct qg_err *err) {
    QG_AUTO(json) json_t *wanted = qg_driver_packages(job->want, job->facts, err);
    QG_AUTO(json) json_t *out = wanted ? qg_value_array(err) : NULL;
    const char *name;
    json_t *state;
    json_object_foreach(job->facts->broken, name, state) {
        if (out && qg_driver_is_unwanted(wanted, name) &&
            qg_value_append_take(out, qg_value_text(name, err), err) < 0)
            return NULL;
    }
    return QG_STEAL(out);
}

/* A module's folder goes where no version is left in it, only links to the last ones. */
static int remove_empty(struct qg_host *host, const char *folder, struct qg_err *err) {
    QG_AUTO(names) char **names = qg_host_list(host, folder, err);
    if (!names)
        return -1;
    for (char **name = names; *name; name++) {
        if (!qg_text_starts(*name, "kernel-"))
            return 0;
    }
    return qg_host_remove_tree(host, folder, err);
}

static int remove_leftovers(struct qg_task *task, const json_t *leftovers, struct qg_err *err) {
    size_t index;
    json_t *leftover;
    json_array_foreach(leftovers, index, leftover) {
        const char *name = json_string_value(leftover);
        QG_AUTO_STR char *path = qg_text_format("/var/lib/dkms/%s", name);
        if (!path)
            return qg_err_oom(err);
        if (qg_host_remove_tree(task->host, path, err) < 0)
            return -1;
        qg_task_note(task, "heal: removed %s, whose source is gone", path);
        *strrchr(path, '/') = '\0';
        if (remove_empty(task->host, path, err) < 0 ||
            qg_task_change(task, "broken", name, qg_value_text("DKMS leftover without source", err),
                           json_null(), err) < 0)
            return -1;
    }
    return 0;
}

static int purge_unwanted(const struct qg_driver_job *job, struct qg_err *err) {
    static const char *const words[] = {"purge", NULL};
    QG_AUTO(json) json_t *names = unwanted_modules(job, err);
    if (!names)
        return -1;
    if (!json_array_size(names))
        return 0;
    QG_AUTO(host_result) struct qg_host_result result = {0};
    QG_AUTO(driver_facts) struct qg_driver_facts now = {0};
    if (qg_apt_get(job->task, words, names, &result, err) < 0)
        return -1;
    if (result.exit_code)
        return qg_task_failed(job->task, "apt-get purge", &result, err);
    /* What dkms did not remove with it has lost its source now. */
    if (qg_driver_facts_read(job->task->host, job->want, &now, err) < 0)
        return -1;
    return remove_leftovers(job->task, now.leftovers, err);
}

/* Notes the packages that are whole again, or gone. */
static int note_mended(const struct qg_driver_job *job, struct qg_err *err) {
    QG_AUTO(driver_facts) struct qg_driver_facts now = {0};
    if (qg_driver_facts_read(job->task->host, job->want, &now, err) < 0)
        return -1;
    const char *name;
    json_t *state;
    json_object_foreach(job->facts->broken, name, state) {
        if (json_object_get(now.broken, name))
            continue;
        bool there = json_object_get(now.installed, name) != NULL;
        if (qg_task_change(job->task, "broken", name, json_incref(state),
                           qg_value_text(there ? "installed" : "purged", err), err) < 0)
            return -1;
    }
    json_object_foreach(now.broken, name, state) {
        return qg_err_set(err, QG_ERR_IO, "step heal: the package %s is still %s", name,
                          json_string_value(state));
    }
    return 0;
}

int qg_apt_heal(const struct qg_driver_job *job, struct qg_err *err) {
    static const char *const configure[] = {
        "dpkg", "--force-confdef", "--force-confold", "--configure", "-a", NULL};
    static const char *const fix[] = {"-f", "install", NULL};
    struct qg_task *task = job->task;
    int64_t since = now_ns();
    if (qg_task_packages_begin(task, err) < 0 || qg_task_wait_for_locks(task, err) < 0 ||
        remove_leftovers(task, job->facts->leftovers, err) < 0)
        return -1;
    if (!json_object_size(job->facts->broken))
        return 0;
    QG_AUTO(host_result) struct qg_host_result configured = {0};
    QG_AUTO(host_result) struct qg_host_result fixed = {0};
    if (purge_unwanted(job, err) < 0 || qg_task_run(task, configure, &configured, err) < 0)
        return -1;
    if (configured.exit_code) {
        /* Half-unpacked packages and missing dependencies are apt's to mend. */
        if (qg_apt_get(task, fix, NULL, &fixed, err) < 0)
            return -1;
        if (fixed.exit_code)
            return build_failed(task, "dpkg --configure -a", since, &configured, err);
    }
    return note_mended(job, err);
}

/* ---- the module ---- */

int qg_dkms_module(const struct qg_driver_job *job, struct qg_err *err) {
    const char *kernel = job->facts->kernel;
    if (!kernel[0])
        return qg_err_set(err, QG_ERR_INVALID,
                          "step module: no kernel is installed in this qube, so there is nothing "
                          "to build the module for (nvidia.kernel_ready)");
    if (!qg_task_has_program(job->task, "dkms"))
        return qg_err_set(
            err, QG_ERR_INVALID,
            "step module: there is no module for %s and no DKMS: none of the packages "
            "brings one",
            kernel);
    const char *argv[] = {"dkms", "autoinstall", "-k", kernel, NULL};
    QG_AUTO(host_result) struct qg_host_result result = {0};
    int64_t since = now_ns();
    if (qg_task_run(job->task, argv, &result, err) < 0)
        return -1;
    struct qg_driver_facts now = *job->facts; /* borrows what they own */
    if (qg_module_find(job->task->host, kernel, &now.module, &now.has_module, err) < 0)
        return -1;
    if (now.has_module && result.exit_code == 0)
        return 0;
    if (now.has_module && !qg_driver_is_outdated(&now))
        return qg_report_warn(job->task->report, err,
                              "dkms autoinstall ended with %d, though the driver's module is "
                              "built: another one is not (" QG_DRIVER_LOG ")",
                              result.exit_code);
    if (result.exit_code)
        return build_failed(job->task, "dkms autoinstall", since, &result, err);
    if (quote_build(job->task, since, err) < 0)
        return -1;
    return qg_err_set(err, QG_ERR_IO,
                      "step module: DKMS built nothing for %s: are the packages linux-headers-%s "
                      "and nvidia-kernel-dkms installed?",
                      kernel, kernel);
}
