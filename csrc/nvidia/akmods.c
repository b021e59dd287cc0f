/* SPDX-License-Identifier: GPL-3.0-or-later */
/* RPM Fusion's modules are built in the background after the transaction: waiting for that. */
#include "nvidia/steps.h"

#include "base/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char logs[] = "/var/cache/akmods/nvidia";

enum {
    TICK_MS = 250,
    GRACE_MS = 3000, /* for a scriptlet's akmods to take its lock */
    LOG_TAIL = 256 * 1024,
    QUOTED_LINES = 6,
};

/* The newest log of a build for the kernel: `...-for-K.failed.log`, `...-for-K.log` or what is
 * being written. Owned by the caller, NULL without an error where there is none. */
static char *newest_log(struct qg_task *task, const char *kernel, const char *tail,
                        struct qg_err *err) {
    QG_AUTO(names) char **names = qg_host_list(task->host, logs, err);
    QG_AUTO_STR char *mark = qg_text_format("-for-%s.%s", kernel, tail);
    QG_AUTO_STR char *best = NULL;
    int64_t best_time = -1;
    if (!mark)
        qg_err_oom(err);
    for (char **name = names; mark && name && *name; name++) {
        if (!strstr(*name, mark))
            continue;
        char *path = qg_text_format("%s/%s", logs, *name);
        if (!path) {
            qg_err_oom(err);
            return NULL;
        }
        int64_t time = qg_host_mtime(task->host, path);
        if (time > best_time) {
            free(best);
            best = path;
            best_time = time;
        } else {
            free(path);
        }
    }
    return QG_STEAL(best);
}

/* Quotes a build's log behind the comment and gives its first line of reason. */
static int quote_log(struct qg_task *task, const char *path, char *reason, size_t size,
                     struct qg_err *err) {
    QG_AUTO(buf) struct qg_buf text = {0};
    QG_AUTO(buf) struct qg_buf lines = {0};
    bool found;
    reason[0] = '\0';
    if (qg_host_read_part(task->host, path, -LOG_TAIL, LOG_TAIL, &text, &found, err) < 0 ||
        qg_parse_build_errors(qg_buf_text(&text), QUOTED_LINES, &lines, err) < 0)
        return -1;
    const char *quoted = qg_buf_text(&lines);
    quoted += strspn(quoted, " ");
    snprintf(reason, size, "%.*s", (int)strcspn(quoted, "\n"), quoted);
    return lines.length
               ? qg_report_warn(task->report, err, "%s says:\n%s", path, qg_buf_text(&lines))
               : 0;
}

static int build_failed(struct qg_task *task, const char *kernel, const char *log,
                        struct qg_err *err) {
    char reason[256];
    struct qg_err ignored = {0};
    (void)quote_log(task, log, reason, sizeof(reason), &ignored);
    return qg_err_set(err, QG_ERR_IO, "step module: akmods could not build the module for %s: %s",
                      kernel, reason[0] ? reason : log);
}

/* What one look at the build shows. */
enum state { BUILDING, BUILT, FAILED };

struct build {
    const char *kernel;
    const char *before; /* the version that is to be replaced; NULL where any will do */
    int64_t since_ns;   /* older failures do not count */
};

static bool is_locked(struct qg_task *task) {
    return qg_host_lock_holder(task->host, "/run/akmods/akmods.lock") ||
           qg_host_lock_holder(task->host, "/var/cache/akmods/.lockfile");
}

static int look(struct qg_task *task, const struct build *build, enum state *out, char **failed,
                struct qg_err *err) {
    struct qg_module module;
    bool found;
    *out = BUILDING;
    if (qg_module_find(task->host, build->kernel, &module, &found, err) < 0)
        return -1;
    if (found && !(build->before && strcmp(module.version, build->before) == 0)) {
        *out = BUILT;
        return 0;
    }
    struct qg_err problem = {0};
    QG_AUTO_STR char *log = newest_log(task, build->kernel, "failed.log", &problem);
    if (problem.kind)
        return qg_err_set(err, problem.kind, "%s", problem.text);
    if (log && qg_host_mtime(task->host, log) >= build->since_ns) {
        *out = FAILED;
        *failed = QG_STEAL(log);
    }
    return 0;
}

/* Waits while somebody builds. */
static int wait_for_build(struct qg_task *task, const struct build *build, enum state *out,
                          char **failed, struct qg_err *err) {
    struct qg_deadline grace = qg_deadline_in(GRACE_MS);
    for (;;) {
        if (look(task, build, out, failed, err) < 0)
            return -1;
        if (*out != BUILDING)
            return 0;
        if (!is_locked(task) && qg_deadline_left(&grace) == 0)
            return 0;
        if (qg_task_sleep(task, TICK_MS, err) == 0)
            continue;
        struct qg_err ignored = {0};
        char reason[256];
        QG_AUTO_STR char *log = newest_log(task, build->kernel, "log", &ignored);
        if (log)
            (void)quote_log(task, log, reason, sizeof(reason), &ignored);
        return -1;
    }
}

/* Builds in the foreground. */
static int build_now(struct qg_task *task, const struct build *build, struct qg_err *err) {
    const char *argv[] = {"akmods", "--force", "--kernels", build->kernel, NULL};
    QG_AUTO(host_result) struct qg_host_result result = {0};
    enum state state;
    QG_AUTO_STR char *failed = NULL;
    if (!qg_task_has_program(task, "akmods"))
        return qg_err_set(err, QG_ERR_INVALID,
                          "step module: there is no module for %s and no akmods: none of the "
                          "packages brings one",
                          build->kernel);
    if (qg_task_run(task, argv, &result, err) < 0 || look(task, build, &state, &failed, err) < 0)
        return -1;
    if (state == FAILED)
        return build_failed(task, build->kernel, failed, err);
    if (state == BUILT || (build->before && result.exit_code == 0))
        return 0;
    if (strstr(qg_buf_text(&result.out), "Could not find files needed")) {
        struct qg_err ignored = {0};
        (void)qg_report_warn(task->report, &ignored,
                             "the headers of %s are missing: install kernel-devel-%s, or update "
                             "the kernel and restart",
                             build->kernel, build->kernel);
    }
    return qg_task_failed(task, "akmods", &result, err);
}

/* akmods installs what it built: the database is not at rest before it ends. */
static int wait_for_end(struct qg_task *task, struct qg_err *err) {
    while (is_locked(task)) {
        if (qg_task_sleep(task, TICK_MS, err) < 0)
            return -1;
    }
    return qg_task_wait_for_locks(task, err);
}

/* dnf would not put a package in the place of itself. */
static int remove_built(const struct qg_driver_job *job, struct qg_err *err) {
    QG_AUTO_STR char *package = qg_text_format("kmod-nvidia-%s", job->facts->kernel);
    if (!package)
        return qg_err_oom(err);
    if (!json_object_get(job->facts->installed, package))
        return 0;
    const char *argv[] = {"rpm", "-e", package, NULL};
    return qg_task_wait_for_locks(job->task, err) < 0 ? -1 : qg_task_must(job->task, argv, err);
}

int qg_akmods_module(const struct qg_driver_job *job, struct qg_err *err) {
    struct qg_task *task = job->task;
    const struct qg_driver_facts *facts = job->facts;
    bool rebuild = qg_task_has_flag(task, "rebuild") || qg_driver_other_flavor(job->want, facts);
    if (!facts->kernel[0])
        return qg_err_set(err, QG_ERR_INVALID,
                          "step module: no kernel is installed in this qube, so there is nothing "
                          "to build the module for (nvidia.kernel_ready)");
    if (qg_task_packages_begin(task, err) < 0)
        return -1;
    /* A failure that is older than our transaction is another driver's or another header's. */
    struct build build = {.kernel = facts->kernel,
                          .before = facts->has_module ? facts->module.version : NULL,
                          .since_ns = json_integer_value(json_object_get(task->record, "since"))};
    enum state state = BUILDING;
    QG_AUTO_STR char *failed = NULL;
    if (rebuild ? remove_built(job, err) < 0
                : wait_for_build(task, &build, &state, &failed, err) < 0)
        return -1;
    if (state == FAILED)
        return build_failed(task, build.kernel, failed, err);
    if (state == BUILDING && build_now(task, &build, err) < 0)
        return -1;
    if (wait_for_end(task, err) < 0)
        return -1;
    return qg_task_flag(task, "rebuild", false, err);
}
