/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Features and services: a service is a feature whose name begins with `service.`. */
#include "qvm/action.h"

#include "base/text.h"
#include "wire/name.h"

#include <string.h>

static const char *const keys[] = {"enable", "disable", "default", "set", "list", NULL};
static const char service_prefix[] = "service.";
static const char meminfo_writer[] = "service.meminfo-writer";

enum { FEATURE_NAME_MAX = 200 };

static const char *prefix_of(const struct qg_block *block) {
    return block->action == &qg_action_service ? service_prefix : "";
}

/* The wanted state of features, name (with its prefix) > text, or null for: not set. */
static int want_feature(json_t *wanted, const char *prefix, const char *name, json_t *value,
                        struct qg_err *err) {
    QG_AUTO(json) json_t *owned = value;
    char full[FEATURE_NAME_MAX + sizeof(service_prefix)];
    size_t length = strlen(name), ahead = strlen(prefix);
    if (length == 0 || length > FEATURE_NAME_MAX)
        return qg_err_set(err, QG_ERR_INVALID, "features: '%.40s' is no feature's name", name);
    memcpy(full, prefix, ahead);
    memcpy(full + ahead, name, length + 1);
    if (qg_name_check_argument("features", full, err) < 0)
        return -1;
    return qg_value_set_take(wanted, full, QG_STEAL(owned), err);
}

/* A feature's text: a bool is 1 or empty, a number its digits, null is no feature at all. */
static json_t *feature_value(const char *name, const json_t *value, struct qg_err *err) {
    if (json_is_null(value))
        return json_null();
    if (json_is_boolean(value))
        return qg_value_text(json_is_true(value) ? "1" : "", err);
    QG_AUTO_STR char *text = qg_value_to_text(value, err);
    for (const char *at = text; at && *at; at++)
        if (*at < ' ' || *at > '~') {
            qg_err_set(err, QG_ERR_INVALID,
                       "features: %s: '%s' holds characters other than printable ASCII", name,
                       text);
            return NULL;
        }
    return text ? qg_value_text(text, err) : NULL;
}

/* One list of names, all to be the same. Earlier lists win: default, then disable, then enable (as
 * upstream). */
static int gather_list(struct qg_block *block, json_t *wanted, const char *key, const char *text,
                       struct qg_err *err) {
    if (!json_object_get(block->body.keys, key)) /* none of the keys has a second spelling */
        return 0;
    QG_AUTO(json) json_t *names = qg_body_names(&block->body, key, err);
    if (!names)
        return -1;
    size_t i;
    json_t *name;
    json_array_foreach(names, i, name) {
        json_t *value = text ? qg_value_text(text, err) : json_null();
        if (!value ||
            want_feature(wanted, prefix_of(block), json_string_value(name), value, err) < 0)
            return -1;
    }
    return 0;
}

/* Everything that the body wants, a new mapping. */
static json_t *gather(struct qg_block *block, struct qg_err *err) {
    QG_AUTO(json) json_t *wanted = qg_value_object(err);
    /* the last one to be put wins, so the strongest list comes last */
    if (!wanted || gather_list(block, wanted, "enable", "1", err) < 0 ||
        gather_list(block, wanted, "disable", "", err) < 0 ||
        gather_list(block, wanted, "default", NULL, err) < 0)
        return NULL;
    QG_AUTO(json) json_t *pairs = qg_body_pairs(&block->body, "set", err);
    if (!pairs)
        return NULL;
    const char *name;
    json_t *value;
    json_object_foreach(pairs, name, value) {
        json_t *text = feature_value(name, value, err);
        if (!text || want_feature(wanted, prefix_of(block), name, text, err) < 0)
            return NULL;
    }
    return QG_STEAL(wanted);
}

/* `enable a b` as words means the same as the key. */
static int unfold_words(struct qg_block *block, struct qg_err *err) {
    const char *verb = json_string_value(json_array_get(block->body.words, 0));
    if (!verb || strcmp(verb, "list") == 0)
        return 0;
    bool known = false;
    for (const char *const *key = keys; *key; key++)
        known = known || strcmp(*key, verb) == 0;
    if (!known)
        return qg_err_set(err, QG_ERR_INVALID,
                          "%s: '%s' is not enable, disable, default, set or list",
                          block->action->name, verb);
    QG_AUTO(json) json_t *names = qg_value_array(err);
    for (size_t i = 1; names && i < json_array_size(block->body.words); i++)
        if (qg_value_append_take(names, json_incref(json_array_get(block->body.words, i)), err) < 0)
            return -1;
    return qg_value_set_take(block->body.keys, verb, QG_STEAL(names), err);
}

static int features_need(struct qg_block *block, struct qg_need *need, struct qg_err *err) {
    if (unfold_words(block, err) < 0)
        return -1;
    json_t *wanted = block->wanted ? block->wanted : gather(block, err);
    if (!wanted)
        return -1;
    block->wanted = wanted;
    if (json_object_size(wanted) == 0)
        need->want.all_features = true;
    const char *name;
    json_t *value;
    json_object_foreach(wanted, name, value) {
        if (qg_need_add(&need->features, name, err) < 0)
            return -1;
        bool meminfo = strcmp(name, meminfo_writer) == 0;
        need->want.properties = need->want.properties || meminfo;
        need->meminfo_off = need->meminfo_off ||
                            (meminfo && json_is_string(value) && json_string_length(value) == 0);
    }
    return 0;
}

/* How comments and (for services) changes call a value. */
static const char *label_of(const char *text) {
    return !text ? "Missing" : strcmp(text, "1") == 0 ? "Enabled" : !*text ? "Disabled" : text;
}

/* A feature's value as changes show it: services by their labels, features by their texts. */
static json_t *shown(const struct qg_block *block, const char *text, struct qg_err *err) {
    if (block->action == &qg_action_service)
        return qg_value_text(label_of(text), err);
    return text ? qg_value_text(text, err) : json_null();
}

/* qubesd keeps a disabled meminfo-writer as maxmem 0 and drops the feature. */
static bool is_as_wanted(const struct qg_job *job, const char *name, const char *now,
                         const char *wanted) {
    if (strcmp(name, meminfo_writer) == 0 && wanted && !*wanted && !now)
        return strcmp(qg_properties_value(&job->qube.properties, "maxmem"), "0") == 0;
    return now == wanted || (now && wanted && strcmp(now, wanted) == 0);
}

static int plan_feature(struct qg_job *job, struct qg_block *block, const char *name,
                        const char *wanted, struct qg_err *err) {
    const char *now = qg_qube_feature(&job->qube, name);
    const char *kind = block->action == &qg_action_service ? "Service" : "Feature";
    const char *verb = !wanted                    ? "DEFAULT"
                       : strcmp(wanted, "1") == 0 ? "ENABLE"
                       : !*wanted                 ? "DISABLE"
                                                  : "SET";
    const char *short_name = name + strlen(prefix_of(block));
    if (is_as_wanted(job, name, now, wanted))
        return qg_block_say(block, err, "[SKIP] %s already in desired state: %s '%s' = %s", kind,
                            verb, short_name, label_of(wanted));
    if (qg_block_say(block, err, "%s '%s': %s -> %s", verb, short_name, label_of(now),
                     label_of(wanted)) < 0)
        return -1;
    json_t *old = shown(block, now, err), *new = shown(block, wanted, err);
    if (!old || !new) {
        json_decref(old);
        json_decref(new);
        return -1;
    }
    return qg_job_step_take(job, block, wanted ? QG_STEP_FEATURE_SET : QG_STEP_FEATURE_REMOVE, name,
                            wanted, NULL, short_name, old, new, err);
}

/* All features (or services) there are. */
static int answer(struct qg_job *job, struct qg_block *block, struct qg_err *err) {
    const char *prefix = prefix_of(block);
    QG_AUTO(json) json_t *data = qg_value_object(err);
    const char *name;
    json_t *value;
    json_object_foreach(job->qube.features, name, value) {
        const char *text = json_string_value(value);
        if (!data || !text || !qg_text_starts(name, prefix))
            continue;
        const char *mark = strcmp(text, "1") == 0 ? "[ENABLED] "
                           : !*text               ? "[DISABLED]"
                                                  : "[SET]     ";
        bool set = mark[1] == 'S';
        if (qg_block_say(block, err, "%s %s%s%s", mark, name + strlen(prefix), set ? ": " : "",
                         set ? text : "") < 0 ||
            qg_value_set_take(data, name + strlen(prefix), qg_value_text(text, err), err) < 0)
            return -1;
    }
    block->data = QG_STEAL(data);
    return block->data ? qg_body_use(&block->body, "list", err) : -1;
}

static int features_plan(struct qg_job *job, struct qg_block *block, struct qg_err *err) {
    bool exists;
    if (qg_job_must_exist(job, block, &exists, err) < 0)
        return -1;
    if (!exists)
        return 0;
    /* need has failed on what cannot be gathered, and where that may be passed it is said here */
    QG_AUTO(json)
    json_t *wanted = block->wanted ? json_incref(block->wanted) : gather(block, err);
    if (!wanted)
        return -1;
    bool asked =
        json_object_size(block->body.keys) == 0 || json_object_get(block->body.keys, "list");
    if (json_object_size(wanted) == 0 && asked)
        return answer(job, block, err);
    const char *name;
    json_t *value;
    json_object_foreach(wanted, name, value) {
        if (plan_feature(job, block, name, json_string_value(value), err) < 0)
            return -1;
    }
    return 0;
}

const struct qg_action qg_action_features = {"features", keys, features_need, features_plan,
                                             QG_ACTION_EARLY};
const struct qg_action qg_action_service = {"service", keys, features_need, features_plan,
                                            QG_ACTION_EARLY};
