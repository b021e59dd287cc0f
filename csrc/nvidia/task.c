/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "nvidia/task.h"

#include "base/text.h"
#include "nvidia/packages.h"
#include "nvidia/plan.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    QUOTED_LINES = 6,
    LOCK_MS = 600 * 1000,     /* for another package manager to end */
    FULL_BYTES = 1024 * 1024, /* with less than that left a file system is full */
};

/* The whole state long: the record that was read is the one that is written. */
static int take_lock(struct qg_task *task, struct qg_err *err) {
    static const char folder[] = "/var/lib";
    int fd = -1;
    if (qg_host_mkdirs(task->host, folder, err) < 0 ||
        qg_host_lock(task->host, folder, &fd, err) < 0)
        return -1;
    if (fd < 0) {
        task->step = "start, behind another state that writes in this qube";
        qg_task_note(task, "waiting: %s", task->step);
    }
    while (fd < 0) {
        if (qg_task_sleep(task, 200, err) < 0 || qg_host_lock(task->host, folder, &fd, err) < 0)
            return -1;
    }
    task->lock = fd + 1;
    return 0;
}

int qg_task_init(struct qg_task *task, struct qg_run *run, struct qg_report *report,
                 int64_t timeout_ms, struct qg_err *err) {
    *task = (struct qg_task){.host = qg_run_host(run),
                             .log = qg_run_log(run),
                             .report = report,
                             .deadline = qg_run_deadline(run, timeout_ms),
                             .timeout_ms = timeout_ms,
                             .step = "start"};
    if (!report->test && take_lock(task, err) < 0)
        return -1;
    task->record = qg_record_load(task->host, err);
    return task->record ? 0 : -1;
}

void qg_task_fini(struct qg_task *task) {
    json_decref(task->record);
    json_decref(task->at_start);
    task->record = task->at_start = NULL;
    task->lock--;
    qg_fd_close(&task->lock);
    task->lock = 0;
}

/* The log is a help, not a condition: a full disk must not hide what the state has to say. */
static void write_log(struct qg_task *task, const char *line) {
    struct qg_err ignored = {0};
    QG_AUTO_STR char *text = qg_text_format("%s\n", line);
    if (task->log_failed || !text)
        return;
    if (qg_host_append(task->host, QG_DRIVER_LOG, text, strlen(text), 0640, &ignored) == 0)
        return;
    struct qg_err again = {0};
    if (qg_host_mkdirs(task->host, "/var/log/qvm-gpu", &again) < 0 ||
        qg_host_append(task->host, QG_DRIVER_LOG, text, strlen(text), 0640, &again) < 0) {
        task->log_failed = true;
        qg_log(task->log, QG_LOG_WARNING, "no log file: %s", again.text);
    }
}

void qg_task_note(struct qg_task *task, const char *format, ...) {
    va_list args;
    va_start(args, format);
    char line[1024];
    vsnprintf(line, sizeof(line), format, args);
    va_end(args);
    qg_text_clean(line);
    qg_log(task->log, QG_LOG_INFO, "%s", line);
    char stamped[1100];
    time_t now = time(NULL);
    struct tm utc;
    gmtime_r(&now, &utc);
    char stamp[32];
    strftime(stamp, sizeof(stamp), "%Y-%m-%dT%H:%M:%SZ", &utc);
    snprintf(stamped, sizeof(stamped), "%s %s", stamp, line);
    write_log(task, stamped);
}

static void note_line(void *data, const char *line) {
    struct qg_task *task = data;
    qg_log(task->log, QG_LOG_INFO, "%s: %s", task->step, line);
    write_log(task, line);
}

static void note_command(struct qg_task *task, const char *const *argv) {
    char line[900];
    size_t used = 0;
    for (; *argv && used < sizeof(line); argv++) {
        int added = snprintf(line + used, sizeof(line) - used, " %s", *argv);
        used += added > 0 ? (size_t)added : 0;
    }
    qg_task_note(task, "%s: running%s", task->step, line);
}

/* Quotes the end of what a program said behind the comment. */
static int warn_tail(struct qg_task *task, const char *text, struct qg_err *err) {
    QG_AUTO(buf) struct qg_buf lines = {0};
    /* No line is an error's here: the last ones are asked for. */
    const char *tail = text + strlen(text);
    for (unsigned found = 0; tail > text && found <= QUOTED_LINES; tail--)
        found += tail[-1] == '\n';
    if (qg_parse_build_errors(tail > text ? tail + 1 : text, QUOTED_LINES, &lines, err) < 0)
        return -1;
    return lines.length ? qg_report_warn(task->report, err, "last lines:\n%s", qg_buf_text(&lines))
                        : 0;
}

static int not_ended(struct qg_task *task, const char *program, const struct qg_host_result *result,
                     const struct qg_err *problem, struct qg_err *err) {
    struct qg_err ignored = {0};
    (void)warn_tail(task, qg_buf_text(&result->out), &ignored);
    if (problem->kind != QG_ERR_TIMEOUT)
        return qg_err_set(err, problem->kind, "step %s: %s", task->step, problem->text);
    return qg_err_set(err, QG_ERR_TIMEOUT,
                      "step %s: %s did not end within the %lld s that the state has (timeout)",
                      task->step, program, (long long)(task->timeout_ms / 1000));
}

int qg_task_run(struct qg_task *task, const char *const *argv, struct qg_host_result *result,
                struct qg_err *err) {
    /* C: what programs say is quoted, and dom0 shows ASCII only. */
    static const char *const env[] = {"LC_ALL=C", "DEBIAN_FRONTEND=noninteractive",
                                      "APT_LISTCHANGES_FRONTEND=none", "NEEDRESTART_SUSPEND=1",
                                      NULL};
    struct qg_host_command command = {.argv = argv, .env = env, .on_line = note_line, .data = task};
    struct qg_err problem = {0};
    note_command(task, argv);
    if (qg_host_run(task->host, &command, &task->deadline, result, &problem) == 0) {
        if (result->exit_code)
            qg_task_note(task, "%s: %s ended with %d", task->step, argv[0], result->exit_code);
        return 0;
    }
    if (result->started)
        return not_ended(task, argv[0], result, &problem, err);
    return qg_err_set(err, problem.kind, "step %s: %s is missing or cannot be run here (%s)",
                      task->step, argv[0], problem.text);
}

int qg_task_run_names(struct qg_task *task, const char *const *words, const json_t *names,
                      struct qg_host_result *result, struct qg_err *err) {
    size_t count = 0, index;
    json_t *name;
    while (words[count])
        count++;
    const char **argv = calloc(count + json_array_size(names) + 1, sizeof(*argv));
    if (!argv)
        return qg_err_oom(err);
    memcpy(argv, words, count * sizeof(*argv));
    json_array_foreach(names, index, name) {
        argv[count + index] = json_string_value(name);
    }
    int status = qg_task_run(task, argv, result, err);
    free(argv);
    return status;
}

const char *qg_task_full_disk(struct qg_task *task) {
    static const char *const folders[] = {"/var/cache", "/var/lib", "/usr", "/boot", "/tmp", "/"};
    for (size_t i = 0; i < QG_ARRAY_LEN(folders); i++) {
        struct qg_host_space space;
        struct qg_err ignored = {0};
        if (qg_host_space(task->host, folders[i], &space, &ignored) == 0 &&
            space.available < FULL_BYTES)
            return folders[i];
    }
    return NULL;
}

int qg_task_failed(struct qg_task *task, const char *what, const struct qg_host_result *result,
                   struct qg_err *err) {
    const char *full = qg_task_full_disk(task);
    if (full)
        qg_err_set(err, QG_ERR_IO, "step %s: the disk is full (%s), so %s failed", task->step, full,
                   what);
    bool said = err->kind;
    QG_AUTO(buf) struct qg_buf lines = {0};
    if (qg_parse_manager_errors(qg_buf_text(&result->out), QUOTED_LINES, &lines, err) < 0)
        return -1;
    const char *reason = qg_buf_text(&lines);
    size_t first = strcspn(reason, "\n");
    qg_err_set(err, QG_ERR_IO, "step %s: %s failed (exit %d)%s%.*s", task->step, what,
               result->exit_code, lines.length ? ":" : "", (int)(first > 1 ? first - 1 : 0),
               reason + (first > 1));
    struct qg_err ignored = {0};
    if (lines.length && (said || reason[first]))
        (void)qg_report_warn(task->report, &ignored, "it said:\n%s", reason);
    return -1;
}

int qg_task_must(struct qg_task *task, const char *const *argv, struct qg_err *err) {
    QG_AUTO(host_result) struct qg_host_result result = {0};
    if (qg_task_run(task, argv, &result, err) < 0)
        return -1;
    return result.exit_code ? qg_task_failed(task, argv[0], &result, err) : 0;
}

int qg_task_change(struct qg_task *task, const char *group, const char *name, json_t *old,
                   json_t *new, struct qg_err *err) {
    const char *path[] = {group, name, NULL};
    task->changed = true;
    return qg_report_change_take(task->report, path, old, new, err);
}

/* Puts a file on record; sum NULL: it is removed. */
static int record_file(struct qg_task *task, const char *path, bool was_there, const char *sum,
                       struct qg_err *err) {
    const json_t *known = json_object_get(json_object_get(task->record, "files"), path);
    QG_AUTO_STR char *backup = qg_record_backup_path(path, err);
    if (!backup)
        return -1;
    /* One that is there already is of an earlier record. */
    if (!known && qg_host_remove(task->host, backup, NULL, err) < 0)
        return -1;
    bool keep = known ? json_is_string(json_object_get(known, "backup")) : was_there;
    const char *to_backup[] = {"files", path, "backup", NULL};
    const char *to_sum[] = {"files", path, "sum", NULL};
    if (qg_value_set_path_take(task->record, to_backup,
                               keep ? qg_value_text(backup, err) : json_null(), err) < 0 ||
        qg_value_set_path_take(task->record, to_sum, sum ? qg_value_text(sum, err) : json_null(),
                               err) < 0)
        return -1;
    return qg_record_save(task->host, task->record, err);
}

int qg_task_change_file(struct qg_task *task, const char *path, const char *before,
                        const char *after, struct qg_err *err) {
    json_t *old = NULL, *new = NULL;
    if (qg_changed_lines(before, after, &old, &new, err) < 0) {
        json_decref(old);
        json_decref(new);
        return -1;
    }
    if (!task->report->test)
        qg_task_note(task, "%s: %s %s", task->step, after ? "wrote" : "removed", path);
    return qg_task_change(task, "files", path, old, new, err);
}

/* The backup's path where the file is ours to give back; NULL where we made the file. */
static const char *backup_of(const struct qg_task *task, const char *path) {
    const json_t *files = json_object_get(task->record, "files");
    return qg_value_get_text(json_object_get(files, path), "backup");
}

static int write_now(struct qg_task *task, const char *path, const char *content, mode_t mode,
                     bool found, struct qg_err *err) {
    char sum[17];
    qg_record_sum(content, strlen(content), sum);
    if (record_file(task, path, found, sum, err) < 0)
        return -1;
    QG_AUTO_STR char *folder = strdup(path);
    if (!folder)
        return qg_err_oom(err);
    *strrchr(folder, '/') = '\0';
    if ((folder[0] && qg_host_mkdirs(task->host, folder, err) < 0) ||
        qg_host_write(task->host, path, content, strlen(content), mode, backup_of(task, path),
                      err) < 0) {
        qg_err_at(err, "step %s", task->step);
        return -1;
    }
    return 0;
}

int qg_task_write(struct qg_task *task, const char *path, const char *content, mode_t mode,
                  struct qg_err *err) {
    QG_AUTO(buf) struct qg_buf before = {0};
    bool found;
    size_t length = strlen(content);
    if (qg_host_read(task->host, path, &before, &found, err) < 0)
        return -1;
    bool same = found && before.length == length && memcmp(before.data, content, length) == 0;
    int had = found && (mode & 0111) ? qg_host_mode(task->host, path) : -1;
    bool runs = had < 0 || ((mode_t)had & mode) == mode;
    if (same && runs)
        return 0;
    if ((!task->report->test && write_now(task, path, content, mode, found, err) < 0) ||
        (!runs && qg_task_change(task, "modes", path, qg_value_format(err, "%04o", (unsigned)had),
                                 qg_value_format(err, "%04o", (unsigned)had | mode), err) < 0))
        return -1;
    return same
               ? 0
               : qg_task_change_file(task, path, found ? qg_buf_text(&before) : NULL, content, err);
}

int qg_task_remove(struct qg_task *task, const char *path, struct qg_err *err) {
    QG_AUTO(buf) struct qg_buf before = {0};
    bool found;
    if (qg_host_read(task->host, path, &before, &found, err) < 0)
        return -1;
    if (!found)
        return 0;
    if (record_file(task, path, true, NULL, err) < 0)
        return -1;
    QG_AUTO_STR char *backup = qg_record_backup_path(path, err);
    if (!backup)
        return -1;
    /* Rewriting it as it is makes the backup, by the one way there is. */
    if ((!qg_host_exists(task->host, backup) &&
         qg_host_write(task->host, path, qg_buf_text(&before), before.length, 0644, backup, err) <
             0) ||
        qg_host_remove(task->host, path, NULL, err) < 0) {
        qg_err_at(err, "step %s", task->step);
        return -1;
    }
    return qg_task_change_file(task, path, qg_buf_text(&before), NULL, err);
}

int qg_task_write_files(struct qg_task *task, const json_t *files, struct qg_err *err) {
    const char *path;
    json_t *content;
    json_object_foreach((json_t *)(uintptr_t)files, path, content) {
        const char *text = json_string_value(content);
        if ((text ? qg_task_write(task, path, text, 0644, err) : qg_task_remove(task, path, err)) <
            0)
            return -1;
    }
    return 0;
}

bool qg_task_has_flag(const struct qg_task *task, const char *flag) {
    return json_is_true(json_object_get(task->record, flag));
}

int qg_task_flag(struct qg_task *task, const char *flag, bool value, struct qg_err *err) {
    if (qg_task_has_flag(task, flag) == value)
        return 0;
    if (!value)
        json_object_del(task->record, flag);
    else if (qg_value_set_take(task->record, flag, json_true(), err) < 0)
        return -1;
    return qg_record_save(task->host, task->record, err);
}

int qg_task_sleep(struct qg_task *task, int ms, struct qg_err *err) {
    if (qg_deadline_left(&task->deadline) == 0)
        return qg_err_set(err, QG_ERR_TIMEOUT, "step %s: not done within %lld s (timeout)",
                          task->step, (long long)(task->timeout_ms / 1000));
    struct timespec time = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};
    (void)nanosleep(&time, NULL);
    if (qg_deadline_interrupted(&task->deadline))
        return qg_err_set(err, QG_ERR_INTERRUPTED, "step %s: stopped", task->step);
    return 0;
}

bool qg_task_has_program(struct qg_task *task, const char *program) {
    struct qg_err ignored = {0};
    QG_AUTO_STR char *path = qg_host_which(task->host, program, &ignored);
    return path != NULL;
}

int qg_task_wait_for_locks(struct qg_task *task, struct qg_err *err) {
    static const char *const locks[] = {
        "/var/lib/dpkg/lock-frontend",  "/var/lib/dpkg/lock",     "/var/lib/apt/lists/lock",
        "/var/cache/apt/archives/lock", "/var/lib/rpm/.rpm.lock", "/usr/lib/sysimage/rpm/.rpm.lock",
    };
    struct qg_deadline patience = qg_deadline_in(LOCK_MS);
    for (size_t i = 0; i < QG_ARRAY_LEN(locks); i++) {
        pid_t holder;
        bool told = false;
        while ((holder = qg_host_lock_holder(task->host, locks[i])) != 0) {
            if (!told)
                qg_task_note(task, "%s: waiting for process %d, which holds %s", task->step,
                             (int)holder, locks[i]);
            told = true;
            if (qg_deadline_left(&patience) == 0 || qg_deadline_left(&task->deadline) == 0)
                return qg_err_set(err, QG_ERR_TIMEOUT,
                                  "step %s: process %d still holds %s: another package manager is "
                                  "at work",
                                  task->step, (int)holder, locks[i]);
            if (qg_task_sleep(task, 200, err) < 0)
                return -1;
        }
    }
    return 0;
}

int qg_task_packages_begin(struct qg_task *task, struct qg_err *err) {
    if (task->at_start)
        return 0;
    bool known;
    task->at_start = qg_packages_all(task->host, task->family, &known, err);
    if (!task->at_start)
        return -1;
    if (task->lasting || json_object_get(task->record, "before"))
        return 0; /* a killed run's: what it added is ours too */
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    json_int_t since = (json_int_t)now.tv_sec * 1000000000 + now.tv_nsec;
    if (qg_value_set_take(task->record, "before", json_incref(task->at_start), err) < 0 ||
        qg_value_set_take(task->record, "since", qg_value_int(since, err), err) < 0)
        return -1;
    return qg_record_save(task->host, task->record, err);
}

/* Notes each package whose version differs. */
static int note_packages(struct qg_task *task, const json_t *before, const json_t *now,
                         struct qg_err *err) {
    const char *name;
    json_t *version;
    json_object_foreach((json_t *)(uintptr_t)now, name, version) {
        json_t *old = json_object_get(before, name);
        if (old && json_equal(old, version))
            continue;
        if (qg_task_change(task, "packages", name, old ? json_incref(old) : json_null(),
                           json_incref(version), err) < 0)
            return -1;
    }
    json_object_foreach((json_t *)(uintptr_t)before, name, version) {
        if (!json_object_get(now, name) &&
            qg_task_change(task, "packages", name, json_incref(version), json_null(), err) < 0)
            return -1;
    }
    return 0;
}

/* Puts on record what came and went since the transaction began. */
static int record_packages(struct qg_task *task, const json_t *before, const json_t *now,
                           struct qg_err *err) {
    const char *name;
    json_t *unused;
    json_object_foreach((json_t *)(uintptr_t)now, name, unused) {
        if (!json_object_get(before, name) &&
            qg_record_add(task->record, "packages", name, err) < 0)
            return -1;
    }
    json_object_foreach((json_t *)(uintptr_t)before, name, unused) {
        if (!json_object_get(now, name) && qg_record_add(task->record, "removed", name, err) < 0)
            return -1;
    }
    return 0;
}

int qg_task_packages_end(struct qg_task *task, struct qg_err *err) {
    if (!task->at_start)
        return 0;
    bool known;
    QG_AUTO(json) json_t *now = qg_packages_all(task->host, task->family, &known, err);
    if (!now)
        return -1;
    if (!known)
        return qg_err_set(err, QG_ERR_IO, "what is installed now could not be asked");
    if (note_packages(task, task->at_start, now, err) < 0)
        return -1;
    if (task->lasting)
        return 0;
    if (record_packages(task, json_object_get(task->record, "before"), now, err) < 0)
        return -1;
    json_object_del(task->record, "before");
    json_object_del(task->record, "since");
    json_decref(task->at_start);
    task->at_start = NULL;
    return qg_record_save(task->host, task->record, err);
}
