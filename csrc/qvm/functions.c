/* SPDX-License-Identifier: GPL-3.0-or-later */
/* qvm's functions: one action each, and qvm.vm with many. */
#include "qvm/job.h"

#include "base/text.h"

#include <string.h>
#include <strings.h>

/* qvm.vm's order where the user gives none (upstream's). */
static const struct qg_action *const default_order[] = {
    &qg_action_exists,  &qg_action_running, &qg_action_missing,  &qg_action_halted,
    &qg_action_absent,  &qg_action_present, &qg_action_clone,    &qg_action_prefs,
    &qg_action_devices, &qg_action_service, &qg_action_features, &qg_action_firewall,
    &qg_action_tags,    &qg_action_unpause, &qg_action_pause,    &qg_action_shutdown,
    &qg_action_kill,    &qg_action_start,   &qg_action_run,
};

enum { ACTIONS_MAX = 64 };

const char *qg_qvm_name(const json_t *args, struct qg_err *err) {
    const char *name = qg_value_get_text(args, "name");
    if (!name)
        qg_err_set(err, QG_ERR_INVALID, "name: a qube's name is expected, not a %s",
                   qg_value_type_name(json_object_get(args, "name")));
    return name;
}

static int run_one(struct qg_run *run, const struct qg_action *action, const json_t *args,
                   struct qg_report *report, struct qg_err *err) {
    const char *name = qg_qvm_name(args, err);
    const struct qg_request_action one = {.action = action, .body = json_object_get(args, "body")};
    return name ? qg_job_run(run, name, &one, 1, false, report, err) : -1;
}

/* A Salt function for each action. */
#define QG_QVM_FUNCTION(action)                                                                    \
    static int function_##action(struct qg_run *run, const json_t *args, struct qg_report *report, \
                                 struct qg_err *err) {                                             \
        return run_one(run, &qg_action_##action, args, report, err);                               \
    }

QG_QVM_FUNCTION(exists)
QG_QVM_FUNCTION(missing)
QG_QVM_FUNCTION(running)
QG_QVM_FUNCTION(halted)
QG_QVM_FUNCTION(present)
QG_QVM_FUNCTION(prefs)
QG_QVM_FUNCTION(devices)
QG_QVM_FUNCTION(service)
QG_QVM_FUNCTION(features)
QG_QVM_FUNCTION(tags)
QG_QVM_FUNCTION(firewall)
QG_QVM_FUNCTION(absent)
QG_QVM_FUNCTION(clone)
QG_QVM_FUNCTION(start)
QG_QVM_FUNCTION(shutdown)
QG_QVM_FUNCTION(kill)
QG_QVM_FUNCTION(pause)
QG_QVM_FUNCTION(unpause)
QG_QVM_FUNCTION(run)

/* qvm.check: `exists`, or `missing` as its word or under the key check. */
static int function_check(struct qg_run *run, const json_t *args, struct qg_report *report,
                          struct qg_err *err) {
    QG_AUTO(body) struct qg_body body = {0};
    const json_t *key;
    if (qg_body_init(&body, json_object_get(args, "body"), err) < 0 ||
        qg_body_find(&body, "check", &key, err) < 0)
        return -1;
    const json_t *value = key ? key : json_array_get(body.words, 0);
    const char *word = value ? json_string_value(value) : "exists";
    if (word && strcmp(word, "exists") == 0)
        return run_one(run, &qg_action_exists, args, report, err);
    if (word && strcmp(word, "missing") == 0)
        return run_one(run, &qg_action_missing, args, report, err);
    return qg_err_set(err, QG_ERR_INVALID, "check: '%s' is not exists or missing",
                      word ? word : "?");
}

/* qvm.state: the words, or upstream's key `state`, which a state's body cannot have. */
static int function_state(struct qg_run *run, const json_t *args, struct qg_report *report,
                          struct qg_err *err) {
    const json_t *given = json_object_get(args, "body");
    QG_AUTO(json) json_t *body = json_array();
    QG_AUTO(json) json_t *with = qg_value_copy(args, err);
    size_t i;
    json_t *item;
    if (!body || !with)
        return qg_err_oom(err);
    if (!json_is_array(given))
        return run_one(run, &qg_action_state, args, report, err);
    json_array_foreach(qg_value_mutable(given), i, item) {
        json_t *words = json_object_get(item, "state");
        if (json_array_append(body, item) < 0 ||
            (words && (json_is_array(words) ? json_array_extend(body, words)
                                            : json_array_append(body, words)) < 0))
            return qg_err_oom(err);
    }
    if (qg_value_set_take(with, "body", QG_STEAL(body), err) < 0)
        return -1;
    return run_one(run, &qg_action_state, with, report, err);
}

static const struct qg_action *action_named(const char *name) {
    for (size_t i = 0; i < QG_ARRAY_LEN(default_order); i++)
        if (strcmp(default_order[i]->name, name) == 0)
            return default_order[i];
    return NULL;
}

/* What qvm.vm is to run. */
struct order {
    struct qg_request_action items[ACTIONS_MAX];
    size_t count;
};

static int add_action(struct order *order, const char *name, const json_t *word,
                      const json_t *bodies, struct qg_err *err) {
    const json_t *body = json_object_get(bodies, name);
    if (!body)
        return 0; /* an action without a body is left out, whether it is known or not */
    const struct qg_action *action = action_named(name);
    if (!action)
        return qg_err_set(err, QG_ERR_INVALID, "Unknown action keyword: %s", name);
    if (order->count == ACTIONS_MAX)
        return qg_err_set(err, QG_ERR_INVALID, "actions: more than %d", ACTIONS_MAX);
    const char *text = json_string_value(word);
    order->items[order->count++] = (struct qg_request_action){
        .action = action, .body = body, .pass = text && strcasestr(text, "pass")};
    return 0;
}

/* One item of `actions`: a name, or a mapping of a name to pass or fail. */
static int add_item(struct order *order, const json_t *item, const json_t *bodies,
                    struct qg_err *err) {
    if (json_is_string(item))
        return add_action(order, json_string_value(item), NULL, bodies, err);
    if (!json_is_object(item))
        return qg_err_set(err, QG_ERR_INVALID,
                          "actions: a list of actions is expected, not a %s in it",
                          qg_value_type_name(item));
    const char *name;
    json_t *word;
    json_object_foreach(qg_value_mutable(item), name, word) {
        if (add_action(order, name, word, bodies, err) < 0)
            return -1;
    }
    return 0;
}

static bool is_ordered(const struct order *order, const char *name) {
    for (size_t i = 0; i < order->count; i++)
        if (strcmp(order->items[i].action->name, name) == 0)
            return true;
    return false;
}

/* The actions in the usual order, as far as they have bodies. There are few bodies: looking through
 * them is quicker than hashing every action's name. */
static int add_usual(struct order *order, const json_t *bodies, struct qg_err *err) {
    bool has[QG_ARRAY_LEN(default_order)] = {false};
    const char *name;
    json_t *body;
    json_object_foreach(qg_value_mutable(bodies), name, body) {
        for (size_t i = 0; i < QG_ARRAY_LEN(default_order); i++)
            has[i] = has[i] || (*name == *default_order[i]->name &&
                                strcmp(name, default_order[i]->name) == 0);
    }
    for (size_t i = 0; i < QG_ARRAY_LEN(default_order); i++)
        if (has[i] && add_action(order, default_order[i]->name, NULL, bodies, err) < 0)
            return -1;
    return 0;
}

/* Every body must be that of an action of the order. */
static int check_bodies(const struct order *order, const json_t *bodies, struct qg_err *err) {
    const char *name;
    json_t *body;
    json_object_foreach(qg_value_mutable(bodies), name, body) {
        if (is_ordered(order, name))
            continue;
        bool salts = qg_text_starts(name, "__") || strcmp(name, "actions") == 0 ||
                     strcmp(name, "name") == 0 || strcmp(name, "require") == 0 ||
                     strcmp(name, "saltenv") == 0 || qg_text_ends(name, "-mode");
        if (salts)
            continue;
        const char *names[QG_ARRAY_LEN(default_order) + 1] = {0};
        for (size_t i = 0; i < QG_ARRAY_LEN(default_order); i++)
            names[i] = default_order[i]->name;
        const char *near = qg_text_nearest(name, names);
        return qg_err_set(err, QG_ERR_INVALID, "Unknown action keyword: %s%s%s%s", name,
                          near && !action_named(name) ? " (did you mean " : "",
                          near && !action_named(name) ? near : "",
                          near && !action_named(name) ? "?)" : "");
    }
    return 0;
}

static int function_vm(struct qg_run *run, const json_t *args, struct qg_report *report,
                       struct qg_err *err) {
    const char *name = qg_qvm_name(args, err);
    QG_AUTO(body) struct qg_body body = {0};
    if (!name || qg_body_init(&body, json_object_get(args, "body"), err) < 0)
        return -1;
    if (json_array_size(body.words)) {
        QG_AUTO_STR char *word = qg_value_to_text(json_array_get(body.words, 0), err);
        return word
                   ? qg_err_set(err, QG_ERR_INVALID,
                                "qvm.vm: actions with their bodies are expected, not '%.60s'", word)
                   : -1;
    }
    const json_t *bodies = body.keys;
    const json_t *actions = json_object_get(bodies, "actions");
    struct order order = {.count = 0};
    if (actions && !json_is_null(actions)) {
        if (!json_is_array(actions))
            return qg_err_set(err, QG_ERR_INVALID, "actions: a list is expected, not a %s",
                              qg_value_type_name(actions));
        size_t i;
        json_t *item;
        json_array_foreach(qg_value_mutable(actions), i, item) {
            if (add_item(&order, item, bodies, err) < 0)
                return -1;
        }
    } else if (add_usual(&order, bodies, err) < 0) {
        return -1;
    }
    if (check_bodies(&order, bodies, err) < 0)
        return -1;
    if (order.count == 0)
        return qg_report_say(report, err, "No action was asked for");
    return qg_job_run(run, name, order.items, order.count, true, report, err);
}

const struct qg_function_entry qg_qvm_functions[] = {
    {"qvm.exists", function_exists},
    {"qvm.missing", function_missing},
    {"qvm.running", function_running},
    {"qvm.halted", function_halted},
    {"qvm.present", function_present},
    {"qvm.prefs", function_prefs},
    {"qvm.devices", function_devices},
    {"qvm.service", function_service},
    {"qvm.features", function_features},
    {"qvm.tags", function_tags},
    {"qvm.firewall", function_firewall},
    {"qvm.absent", function_absent},
    {"qvm.clone", function_clone},
    {"qvm.start", function_start},
    {"qvm.shutdown", function_shutdown},
    {"qvm.kill", function_kill},
    {"qvm.pause", function_pause},
    {"qvm.unpause", function_unpause},
    {"qvm.run", function_run},
    {"qvm.template_installed", qg_template_installed},
    {"qvm.template_install", qg_template_install},
    {"qvm.template_info", qg_template_info},
    {"qvm.check", function_check},
    {"qvm.state", function_state},
    {"qvm.create", function_present},
    {"qvm.remove", function_absent},
    {"qvm.vm", function_vm},
    {NULL, NULL},
};
