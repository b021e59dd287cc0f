/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "qvm/action.h"

#include "base/text.h"
#include "wire/name.h"

#include <string.h>

static const char *const keys[] = {"add", "present", "del", "absent", "list", NULL};

static int tags_need(struct qg_block *block, struct qg_need *need, struct qg_err *err) {
    (void)block;
    (void)err;
    need->want.tags = true;
    return 0;
}

/* The names under both spellings of a key, and those behind the word of a command line. */
static json_t *names_of(struct qg_block *block, const char *first, const char *second,
                        struct qg_err *err) {
    QG_AUTO(json) json_t *names = qg_body_names(&block->body, first, err);
    QG_AUTO(json) json_t *more = qg_body_names(&block->body, second, err);
    if (!names || !more || json_array_extend(names, more) < 0)
        return NULL;
    const json_t *words = block->body.words;
    const char *verb = json_string_value(json_array_get(words, 0));
    bool ours = verb && (strcmp(verb, first) == 0 || strcmp(verb, second) == 0);
    for (size_t i = 1; ours && i < json_array_size(words); i++)
        if (json_array_append(names, json_array_get(words, i)) < 0) {
            qg_err_oom(err);
            return NULL;
        }
    size_t i;
    json_t *name;
    json_array_foreach(names, i, name) {
        const char *text = json_string_value(name);
        if (!text || !*text || strchr(text, '+') || qg_name_check_argument("tags", text, err) < 0) {
            qg_err_set(err, QG_ERR_INVALID, "tags: '%s' is no tag", text ? text : "?");
            return NULL;
        }
    }
    return QG_STEAL(names);
}

/* The tags as a sorted list, the way changes show them. */
static json_t *sorted_tags(const struct qg_qube *qube, struct qg_err *err) {
    QG_AUTO(json) json_t *list = qg_value_array(err);
    const char *name;
    json_t *value;
    json_object_foreach(qube->tags, name, value) {
        if (!list)
            return NULL;
        size_t at = 0;
        while (at < json_array_size(list) &&
               strcmp(json_string_value(json_array_get(list, at)), name) < 0)
            at++;
        json_t *text = qg_value_text(name, err);
        if (!text || json_array_insert_new(list, at, text) < 0) {
            qg_err_oom(err);
            return NULL;
        }
    }
    return QG_STEAL(list);
}

/* Adds a step; the change is the whole list before all of them and after this one, as upstream
 * shows it. */
static int add_step(struct qg_job *job, enum qg_step_kind kind, const char *tag, json_t *before,
                    struct qg_err *err) {
    struct qg_step *step = qg_plan_add(&job->plan, kind, &job->qube, tag, NULL, NULL, err);
    QG_AUTO(json) json_t *after = sorted_tags(&job->qube, err);
    json_t *path = json_pack("[s]", "qvm.tags");
    if (!step || !after || !path) {
        json_decref(path);
        return qg_err_oom(err);
    }
    return qg_step_change_take(step, path, json_incref(before), QG_STEAL(after), err);
}

static int plan_tags(struct qg_job *job, struct qg_block *block, const json_t *names, bool wanted,
                     json_t *before, struct qg_err *err) {
    size_t i;
    json_t *name;
    json_array_foreach(qg_value_mutable(names), i, name) {
        const char *tag = json_string_value(name);
        if (qg_qube_has_tag(&job->qube, tag) == wanted) {
            if (qg_block_say(block, err, "[SKIP] Tag already %s: %s", wanted ? "set" : "missing",
                             tag) < 0)
                return -1;
            continue;
        }
        if (qg_text_starts(tag, "created-by-"))
            return qg_err_set(
                err, QG_ERR_INVALID,
                "tags: %s: created-by-* tags are qubesd's own, nobody can change them", tag);
        if (qg_block_say(block, err, "%s %s", wanted ? "+" : "-", tag) < 0 ||
            add_step(job, wanted ? QG_STEP_TAG_SET : QG_STEP_TAG_REMOVE, tag, before, err) < 0)
            return -1;
    }
    return 0;
}

/* The first word says what the others are for. */
static int check_verb(const struct qg_block *block, struct qg_err *err) {
    const json_t *first = json_array_get(block->body.words, 0);
    const char *verb = json_string_value(first);
    for (const char *const *key = keys; verb && *key; key++)
        if (strcmp(*key, verb) == 0)
            return 0;
    return first ? qg_err_set(err, QG_ERR_INVALID,
                              "tags: '%.60s' is not add, present, del, absent or list",
                              verb ? verb : qg_value_type_name(first))
                 : 0;
}

static int tags_plan(struct qg_job *job, struct qg_block *block, struct qg_err *err) {
    bool exists;
    if (qg_job_must_exist(job, block, &exists, err) < 0)
        return -1;
    if (!exists)
        return 0;
    if (check_verb(block, err) < 0)
        return -1;
    QG_AUTO(json) json_t *add = names_of(block, "add", "present", err);
    QG_AUTO(json) json_t *del = names_of(block, "del", "absent", err);
    QG_AUTO(json) json_t *before = sorted_tags(&job->qube, err);
    if (!add || !del || !before)
        return -1;
    size_t i;
    json_t *name;
    json_array_foreach(del, i, name) {
        for (size_t j = 0; j < json_array_size(add); j++)
            if (json_equal(name, json_array_get(add, j)))
                return qg_err_set(err, QG_ERR_INVALID, "tags: %s is to be added and deleted",
                                  json_string_value(name));
    }
    if (json_array_size(add) == 0 && json_array_size(del) == 0) {
        block->data = json_incref(before);
        json_array_foreach(before, i, name) {
            if (qg_block_say(block, err, "%s", json_string_value(name)) < 0)
                return -1;
        }
        return qg_body_use(&block->body, "list", err);
    }
    if (plan_tags(job, block, del, false, before, err) < 0)
        return -1;
    return plan_tags(job, block, add, true, before, err);
}

const struct qg_action qg_action_tags = {"tags", keys, tags_need, tags_plan, QG_ACTION_EARLY};
