/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "plan/run_i.h"

#include "base/text.h"

#include <string.h>

/* The name was checked: it holds no slash and starts with a letter. */
static char *record_path(const struct qg_run *run, const char *name, struct qg_err *err) {
    char *path = qg_text_format("%s/creating-%s.json", run->record_dir, name);
    if (!path)
        qg_err_oom(err);
    return path;
}

int qg_record_write(struct qg_run *run, const char *name, const char *source, const char *uuid,
                    struct qg_err *err) {
    if (!run->records)
        return 0;
    QG_AUTO_STR char *path = record_path(run, name, err);
    QG_AUTO(json) json_t *record = qg_value_object(err);
    if (!path || !record || qg_value_set_take(record, "name", qg_value_text(name, err), err) < 0 ||
        qg_value_set_take(record, "source", qg_value_text(source, err), err) < 0 ||
        (uuid && qg_value_set_take(record, "uuid", qg_value_text(uuid, err), err) < 0))
        return -1;
    QG_AUTO_STR char *text = qg_value_dump(record, err);
    if (!text || qg_host_mkdirs(run->records, run->record_dir, err) < 0)
        return -1;
    return qg_host_write(run->records, path, text, strlen(text), 0600, NULL, err);
}

int qg_record_remove(struct qg_run *run, const char *name, struct qg_err *err) {
    if (!run->records)
        return 0;
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
    json_t *record = qg_value_load(qg_buf_text(&text), text.length, &broken);
    if (!record || !qg_value_get_text(record, "source")) {
        json_decref(record);
        qg_err_set(
            err, QG_ERR_PARSE,
            "%s is no record of a creation: look whether qube %s is complete, then remove the file",
            path, name);
        return NULL;
    }
    return record;
}
