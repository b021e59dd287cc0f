/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "gpu/volumes.h"

#include "base/text.h"
#include "gpu/size.h"

#include <stdio.h>
#include <string.h>

enum { SIZE_LEAST = 1 << 20 }; /* what is less was meant with a unit */

static const struct {
    const char *key, *volume;
} sizes[] = {{"root_size", "root"}, {"private_size", "private"}};

static int volumes_need(struct qg_block *block, struct qg_need *need, struct qg_err *err) {
    for (size_t i = 0; i < QG_ARRAY_LEN(sizes); i++) {
        const json_t *value = json_object_get(block->body.keys, sizes[i].key);
        int64_t bytes;
        if (value && (qg_size_parse(sizes[i].key, value, &bytes, err) < 0 ||
                      qg_need_add(&need->volumes, sizes[i].volume, err) < 0))
            return -1;
    }
    return 0;
}

/* What the volume has now, -1 where that is not known: a source that a dry run could not see. */
static int size_now(const struct qg_job *job, const char *key, const char *volume, int64_t *out,
                    struct qg_err *err) {
    const json_t *info = json_object_get(job->qube.volumes, volume);
    const char *saved = qg_value_get_text(info, "save_on_stop");
    const char *text = qg_value_get_text(info, "size");
    *out = -1;
    if (json_is_null(info))
        return qg_err_set(err, QG_ERR_INVALID, "%s: %s has no volume %s", key, job->name, volume);
    if (saved && strcmp(saved, "True") != 0)
        return qg_err_set(err, QG_ERR_INVALID,
                          "%s: the %s volume of %s is its template's and is resized there", key,
                          volume, job->name);
    if (text && !qg_text_to_int(text, out))
        return qg_err_set(err, QG_ERR_PROTOCOL, "admin.vm.volume.Info+%s on %s: no size", volume,
                          job->name);
    return 0;
}

static int plan_volume(struct qg_job *job, struct qg_block *block, const char *key,
                       const char *volume, int64_t wanted, struct qg_err *err) {
    int64_t now;
    char bytes[24], before[24] = "unknown";
    if (size_now(job, key, volume, &now, err) < 0)
        return -1;
    if (now == wanted)
        return qg_block_say(block, err, "[SKIP] %-19s: %lld", key, (long long)now);
    if (now > wanted && wanted < SIZE_LEAST)
        return qg_err_set(err, QG_ERR_INVALID,
                          "%s: %lld bytes are meant to be more (a size may have a unit: 20GiB)",
                          key, (long long)wanted);
    if (now > wanted)
        return qg_block_say(block, err, "[SKIP] %-19s: %lld, more than the %lld asked for", key,
                            (long long)now, (long long)wanted);
    snprintf(bytes, sizeof(bytes), "%lld", (long long)wanted);
    if (now >= 0)
        snprintf(before, sizeof(before), "%lld", (long long)now);
    QG_AUTO(json) json_t *old = now < 0 ? json_null() : qg_value_int((long long)now, err);
    if (!old || qg_block_say(block, err, "%-19s: %s -> %s", key, before, bytes) < 0)
        return -1;
    return qg_job_step_take(job, block, QG_STEP_VOLUME_RESIZE, volume, bytes, NULL, volume,
                            QG_STEAL(old), qg_value_int((long long)wanted, err), err);
}

static int volumes_plan(struct qg_job *job, struct qg_block *block, struct qg_err *err) {
    bool exists;
    if (qg_job_must_exist(job, block, &exists, err) < 0)
        return -1;
    if (!exists)
        return 0;
    for (size_t i = 0; i < QG_ARRAY_LEN(sizes); i++) {
        const json_t *value;
        int64_t wanted;
        if (qg_body_find(&block->body, sizes[i].key, &value, err) < 0)
            return -1;
        if (value && (qg_size_parse(sizes[i].key, value, &wanted, err) < 0 ||
                      plan_volume(job, block, sizes[i].key, sizes[i].volume, wanted, err) < 0))
            return -1;
    }
    return 0;
}

const struct qg_action qg_action_volumes = {"volumes", NULL, volumes_need, volumes_plan, 0};
