/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "nvidia/record.h"

#include "base/text.h"
#include "doc/json.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

json_t *qg_record_load(struct qg_host *host, struct qg_err *err) {
    QG_AUTO(buf) struct qg_buf text = {0};
    bool found;
    if (qg_host_read(host, QG_RECORD_PATH, &text, &found, err) < 0)
        return NULL;
    if (!found)
        return qg_value_object(err);
    struct qg_err damage = {0};
    QG_AUTO(json) json_t *record = qg_json_load(qg_buf_text(&text), text.length, &damage);
    if (json_is_object(record))
        return QG_STEAL(record);
    if (qg_err_pass_oom(err, &damage) == 0)
        qg_err_set(err, QG_ERR_INVALID,
                   "%s is damaged, so what was done in this qube is not known: the files as they "
                   "were are in %s. Look at them, and move the folder away to begin anew.",
                   QG_RECORD_PATH, QG_RECORD_BACKUPS);
    return NULL;
}

int qg_record_save(struct qg_host *host, const json_t *record, struct qg_err *err) {
    QG_AUTO_STR char *text = qg_value_dump(record, err);
    if (!text || qg_host_mkdirs(host, "/var/lib/qvm-gpu", err) < 0)
        return -1;
    return qg_host_write(host, QG_RECORD_PATH, text, strlen(text), 0600, NULL, err);
}

int qg_record_drop(struct qg_host *host, struct qg_err *err) {
    return qg_host_remove_tree(host, "/var/lib/qvm-gpu", err);
}

int qg_record_add(json_t *record, const char *list, const char *name, struct qg_err *err) {
    json_t *names = json_object_get(record, list);
    if (!json_is_array(names)) {
        if (qg_value_set_take(record, list, qg_value_array(err), err) < 0)
            return -1;
        names = json_object_get(record, list);
    }
    size_t index;
    json_t *known;
    json_array_foreach(names, index, known) {
        if (json_is_string(known) && strcmp(json_string_value(known), name) == 0)
            return 0;
    }
    return qg_value_append_take(names, qg_value_text(name, err), err);
}

char *qg_record_backup_path(const char *path, struct qg_err *err) {
    char *backup = qg_text_format("%s%s", QG_RECORD_BACKUPS, path);
    if (!backup)
        qg_err_oom(err);
    return backup;
}

void qg_record_sum(const char *content, size_t length, char out[17]) {
    uint64_t sum = 0xcbf29ce484222325u; /* FNV-1a */
    for (size_t i = 0; i < length; i++)
        sum = (sum ^ (unsigned char)content[i]) * 0x100000001b3u;
    snprintf(out, 17, "%016" PRIx64, sum);
}
