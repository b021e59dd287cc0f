/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The firewall: the whole list of rules, compared by what they mean. */
#include "qvm/action.h"

#include "base/text.h"
#include "wire/firewall.h"

#include <string.h>
#include <time.h>

static const char *const keys[] = {"set", "list", NULL};

static int firewall_need(struct qg_block *block, struct qg_need *need, struct qg_err *err) {
    (void)block;
    (void)err;
    need->want.firewall = true;
    return 0;
}

static int fail_shape(const json_t *value, struct qg_err *err) {
    QG_AUTO_STR char *text = qg_value_dump(value, err);
    return text ? qg_err_set(err, QG_ERR_INVALID,
                             "set: a list of rules is expected (- action=accept proto=tcp "
                             "dstports=443), not the %s %.200s",
                             qg_value_type_name(value), text)
                : -1;
}

/* A text of one rule, or of several in lines. A rule that has run out is told, and left out: qubesd
 * does not show it either. */
static int add_rules(struct qg_job *job, json_t *rules, const char *text, struct qg_err *err) {
    while (*text) {
        size_t length = strcspn(text, "\n");
        QG_AUTO_STR char *line = strndup(text, length);
        if (!line)
            return qg_err_oom(err);
        text += length + (text[length] == '\n');
        if (line[strspn(line, " ")] == '\0')
            continue;
        int64_t expires;
        QG_AUTO_STR char *rule = qg_firewall_rule(line, &expires, err);
        if (!rule)
            return -1;
        if (expires && expires < (int64_t)time(NULL)) {
            if (qg_job_warn(job, err, "firewall: this rule has expired and is left out: %s", rule) <
                0)
                return -1;
        } else if (qg_value_append_take(rules, qg_value_text(rule, err), err) < 0) {
            return -1;
        }
    }
    return 0;
}

static int add_items(struct qg_job *job, json_t *rules, const json_t *value, size_t from,
                     struct qg_err *err) {
    for (size_t i = from; i < json_array_size(value); i++) {
        const json_t *item = json_array_get(value, i);
        if (json_is_null(item))
            continue;
        if (!json_is_string(item))
            return fail_shape(item, err);
        if (add_rules(job, rules, json_string_value(item), err) < 0)
            return -1;
    }
    return 0;
}

/* The wanted rules, a new list: those under `set`, and the words behind `set`. */
static json_t *wanted_rules(struct qg_job *job, struct qg_block *block, struct qg_err *err) {
    QG_AUTO(json) json_t *rules = qg_value_array(err);
    struct qg_err problem = {0};
    const json_t *value = qg_body_get(&block->body, "set", &problem);
    const json_t *words = block->body.words;
    const char *verb = json_string_value(json_array_get(words, 0));
    int status = rules ? 0 : -1;
    if (problem.kind != QG_ERR_NONE && err)
        *err = problem;
    if (problem.kind != QG_ERR_NONE)
        return NULL;
    if (json_is_array(value))
        status = status < 0 ? -1 : add_items(job, rules, value, 0, err);
    else if (json_is_string(value))
        status = status < 0 ? -1 : add_rules(job, rules, json_string_value(value), err);
    else if (!qg_value_is_empty(value))
        status = fail_shape(value, err);
    if (status == 0 && verb && strcmp(verb, "set") == 0)
        status = add_items(job, rules, words, 1, err);
    else if (status == 0 && json_array_size(words) && !(verb && strcmp(verb, "list") == 0))
        status = qg_err_set(err, QG_ERR_INVALID, "firewall: set or list is expected, not '%.60s'",
                            verb ? verb : "?");
    return status < 0 ? NULL : QG_STEAL(rules);
}

/* The rules in lines, as changes show them. */
static json_t *joined(const json_t *rules, struct qg_err *err) {
    QG_AUTO(buf) struct qg_buf text = {0};
    size_t i;
    json_t *rule;
    json_array_foreach(qg_value_mutable(rules), i, rule) {
        if (qg_buf_printf(&text, err, "%s%s", i ? "\n" : "", json_string_value(rule)) < 0)
            return NULL;
    }
    return qg_value_text(qg_buf_text(&text), err);
}

static int say_rules(struct qg_block *block, const char *prefix, const json_t *rules,
                     struct qg_err *err) {
    size_t i;
    json_t *rule;
    json_array_foreach(qg_value_mutable(rules), i, rule) {
        if (qg_block_say(block, err, "%s%s", prefix, json_string_value(rule)) < 0)
            return -1;
    }
    return 0;
}

static int set_rules(struct qg_job *job, struct qg_block *block, json_t *rules,
                     struct qg_err *err) {
    QG_AUTO(json) json_t *extra = json_incref(rules);
    QG_AUTO(json) json_t *path = json_pack("[s]", "qvm.firewall");
    QG_AUTO(json) json_t *old = joined(job->qube.firewall, err);
    if (!path)
        return qg_err_oom(err);
    if (!old || say_rules(block, "", rules, err) < 0)
        return -1;
    struct qg_step *step =
        qg_plan_add(&job->plan, QG_STEP_FIREWALL_SET, &job->qube, NULL, NULL, QG_STEAL(extra), err);
    return step ? qg_step_change_take(step, QG_STEAL(path), QG_STEAL(old), joined(rules, err), err)
                : -1;
}

static bool is_asking(const struct qg_block *block) {
    const char *verb = json_string_value(json_array_get(block->body.words, 0));
    return json_object_get(block->body.keys, "list") || (verb && strcmp(verb, "list") == 0) ||
           (json_object_size(block->body.keys) == 0 && !verb);
}

static int firewall_plan(struct qg_job *job, struct qg_block *block, struct qg_err *err) {
    bool exists;
    if (qg_job_must_exist(job, block, &exists, err) < 0)
        return -1;
    if (!exists)
        return 0;
    QG_AUTO(json) json_t *wanted = wanted_rules(job, block, err);
    QG_AUTO(json) json_t *now = wanted ? qg_firewall_rules(job->qube.firewall, err) : NULL;
    if (!now || qg_body_use(&block->body, "list", err) < 0)
        return -1;
    if (json_array_size(wanted) == 0 && is_asking(block)) {
        block->data = json_incref(job->qube.firewall);
        return say_rules(block, "", block->data, err);
    }
    if (json_array_size(wanted) == 0)
        return qg_block_say(block, err, "[SKIP] No rules given, the firewall stays as it is");
    if (json_equal(wanted, now))
        return say_rules(block, "[SKIP] ", wanted, err);
    return set_rules(job, block, wanted, err);
}

const struct qg_action qg_action_firewall = {"firewall", keys, firewall_need, firewall_plan,
                                             QG_ACTION_EARLY};
