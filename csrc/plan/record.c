/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "plan/run_i.h"

#include "base/text.h"
#include "doc/json.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The name was checked: it holds no slash and starts with a letter. */
static char *record_path(const struct qg_run *run, const char *name, struct qg_err *err) {
    char *path = qg_text_format("%s/creating-%s.json", run->record_dir, name);
    if (!path)
        qg_err_oom(err);
    return path;
}

/* When a process started, in the kernel's ticks since the boot, to *out: a number may be another
 * process's by now. 0: it has ended, or nothing here tells. */
static int started_at(struct qg_run *run, long long pid, long long *out, struct qg_err *err) {
    enum { FIELDS_BEFORE = 19 }; /* from the state, which is behind the name, to the start */
    *out = 0;
    QG_AUTO_STR char *path = qg_text_format("/proc/%lld/stat", pid);
    QG_AUTO(buf) struct qg_buf text = {0};
    if (!path)
        return qg_err_oom(err);
    bool found = false;
    struct qg_err unknown = {0};
    if (qg_host_read(run->records, path, &text, &found, &unknown) < 0 || !found)
        return qg_err_pass_oom(err, &unknown);
    const char *at = strrchr(qg_buf_text(&text), ')');
    if (!at || at[1] != ' ' || at[2] == 'Z' || at[2] == 'X')
        return 0;
    at += 2;
    for (int i = 0; at && i < FIELDS_BEFORE; i++) {
        at = strchr(at, ' ');
        at = at ? at + 1 : NULL;
    }
    *out = at ? strtoll(at, NULL, 10) : 0;
    return 0;
}

/* Fails where the record is of another process that is still at it. */
static int check_owner(struct qg_run *run, const json_t *record, const char *name,
                       struct qg_err *err) {
    long long pid = json_integer_value(json_object_get(record, "pid"));
    long long started = json_integer_value(json_object_get(record, "started")), now;
    if (pid <= 0 || pid == getpid())
        return 0;
    if (started_at(run, pid, &now, err) < 0)
        return -1;
    return now == 0 || now != started
               ? 0
               : qg_err_set(err, QG_ERR_INVALID,
                            "qube %s is being created by process %lld: run this again when it "
                            "has ended",
                            name, pid);
}

/* Puts down whose creation it is. */
static int note_owner(struct qg_run *run, json_t *record, struct qg_err *err) {
    long long pid = getpid(), started;
    return started_at(run, pid, &started, err) < 0 ||
                   qg_value_set_take(record, "pid", qg_value_int(pid, err), err) < 0 ||
                   qg_value_set_take(record, "started", qg_value_int(started, err), err) < 0
               ? -1
               : 0;
}

/* Fails where somebody else is creating the qube right now, or its record is broken. */
static int check_nobody(struct qg_run *run, const char *name, struct qg_err *err) {
    struct qg_err problem = {0};
    json_decref(qg_run_unfinished(run, name, &problem));
    if (problem.kind != QG_ERR_NONE && err && err->kind == QG_ERR_NONE)
        *err = problem;
    return problem.kind == QG_ERR_NONE ? 0 : -1;
}

int qg_record_write(struct qg_run *run, const char *name, const char *source, const char *uuid,
                    struct qg_err *err) {
    if (!run->records)
        return 0;
    if (check_nobody(run, name, err) < 0)
        return -1;
    QG_AUTO_STR char *path = record_path(run, name, err);
    QG_AUTO(json) json_t *record = qg_value_object(err);
    if (!path || !record || qg_value_set_take(record, "name", qg_value_text(name, err), err) < 0 ||
        qg_value_set_take(record, "source", qg_value_text(source, err), err) < 0 ||
        (uuid && qg_value_set_take(record, "uuid", qg_value_text(uuid, err), err) < 0) ||
        note_owner(run, record, err) < 0)
        return -1;
    QG_AUTO_STR char *text = qg_value_dump(record, err);
    if (!text || qg_host_mkdirs(run->records, run->record_dir, err) < 0)
        return -1;
    return qg_host_write(run->records, path, text, strlen(text), 0600, NULL, err);
}

int qg_record_remove(struct qg_run *run, const char *name, struct qg_err *err) {
    struct qg_err others = {0};
    if (!run->records || check_nobody(run, name, &others) < 0)
        return qg_err_pass_oom(err, &others);
    QG_AUTO_STR char *path = record_path(run, name, err);
    return path ? qg_host_remove(run->records, path, NULL, err) : -1;
}

json_t *qg_run_unfinished(struct qg_run *run, const char *name, struct qg_err *err) {
    if (!run->records)
        return NULL;
    QG_AUTO_STR char *path = record_path(run, name, err);
    QG_AUTO(buf) struct qg_buf text = {0};
    bool found = false;
    if (!path || qg_host_read(run->records, path, &text, &found, err) < 0 || !found)
        return NULL;
    struct qg_err broken = {0};
    json_t *record = qg_json_load(qg_buf_text(&text), text.length, &broken);
    if (!record || !qg_value_get_text(record, "source")) {
        json_decref(record);
        if (qg_err_pass_oom(err, &broken) < 0)
            return NULL;
        qg_err_set(
            err, QG_ERR_PARSE,
            "%s is no record of a creation: look whether qube %s is complete, then remove the file",
            path, name);
        return NULL;
    }
    if (check_owner(run, record, name, err) < 0) {
        json_decref(record);
        return NULL;
    }
    return record;
}
