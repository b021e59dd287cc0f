/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "qvm/body.h"

#include "base/text.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

void qg_body_fini(struct qg_body *body) {
    json_decref(body->keys);
    json_decref(body->words);
    free(body->used);
    *body = (struct qg_body){0};
}

/* Keys that Salt hands to every state, or that upstream takes everywhere and that say nothing about
 * a qube. */
static bool is_salts_own(const char *key) {
    static const char *const own[] = {"name",        "name_order", "fun",           "state",
                                      "order",       "saltenv",    "pillarenv",     "status-mode",
                                      "status_mode", "debug-mode", "run-post-hook", "run_post_hook",
                                      "debug_mode"};
    if (key[0] == '_' && key[1] == '_')
        return true;
    for (size_t i = 0; i < QG_ARRAY_LEN(own); i++)
        if (key[0] == own[i][0] && strcmp(key, own[i]) == 0)
            return true;
    return false;
}

static int add_keys(struct qg_body *body, const json_t *mapping, struct qg_err *err) {
    const char *key;
    json_t *value;
    json_object_foreach(qg_value_mutable(mapping), key, value) {
        if (!is_salts_own(key) && qg_value_set_take(body->keys, key, json_incref(value), err) < 0)
            return -1;
    }
    return 0;
}

static int add_item(struct qg_body *body, const json_t *item, struct qg_err *err) {
    if (json_is_object(item))
        return add_keys(body, item, err);
    if (json_is_null(item))
        return 0;
    if (json_is_array(item))
        return qg_err_set(err, QG_ERR_INVALID,
                          "a list inside a list: expected `- key: value` items");
    if (!body->words && !(body->words = qg_value_array(err)))
        return -1;
    return qg_value_append_take(body->words, json_incref(qg_value_mutable(item)), err);
}

int qg_body_init(struct qg_body *body, const json_t *value, struct qg_err *err) {
    *body = (struct qg_body){.keys = json_object()};
    if (!body->keys)
        return qg_err_oom(err);
    if (qg_value_is_empty(value))
        return 0;
    if (!json_is_array(value))
        return add_item(body, value, err);
    size_t i;
    json_t *item;
    json_array_foreach(qg_value_mutable(value), i, item) {
        if (add_item(body, item, err) < 0)
            return -1;
    }
    return 0;
}

static char dashed(char c) {
    return c == '_' ? '-' : c;
}

bool qg_body_same_key(const char *a, const char *b) {
    while (*a && dashed(*a) == dashed(*b)) {
        a++;
        b++;
    }
    return *a == *b;
}

static bool is_used(const struct qg_body *body, const char *key) {
    for (size_t i = 0; i < body->used_count; i++)
        if (body->used[i] == key || strcmp(body->used[i], key) == 0)
            return true;
    return false;
}

int qg_body_use(struct qg_body *body, const char *key, struct qg_err *err) {
    if (is_used(body, key))
        return 0;
    if (body->used_count == body->used_size) {
        size_t size = body->used_size ? body->used_size * 2 : 16;
        const char **used = reallocarray(body->used, size, sizeof(*used));
        if (!used)
            return qg_err_oom(err);
        body->used = used;
        body->used_size = size;
    }
    body->used[body->used_count++] = key;
    return 0;
}

int qg_body_find(struct qg_body *body, const char *key, const json_t **found, struct qg_err *err) {
    const char *name, *found_name = NULL;
    json_t *value;
    *found = NULL;
    json_object_foreach(body->keys, name, value) {
        if (*name != *key || /* no key begins with either of `-` and `_` */
            !qg_body_same_key(name, key))
            continue;
        if (*found && !json_equal(*found, value))
            return qg_err_set(err, QG_ERR_INVALID,
                              "%s and %s: two spellings of one key with different values",
                              found_name, name);
        if (qg_body_use(body, name, err) < 0)
            return -1;
        *found = value;
        found_name = name;
    }
    return 0;
}

const json_t *qg_body_get(struct qg_body *body, const char *key, struct qg_err *err) {
    const json_t *found;
    return qg_body_find(body, key, &found, err) < 0 ? NULL : found;
}

static int fail_shape(const char *key, const json_t *value, const char *expected,
                      struct qg_err *err) {
    QG_AUTO_STR char *text = qg_value_dump(value, err);
    return text ? qg_err_set(err, QG_ERR_INVALID, "%s: %s is expected, not the %s %.200s", key,
                             expected, qg_value_type_name(value), text)
                : -1;
}

int qg_body_take_text(struct qg_body *body, const char *key, char **out, struct qg_err *err) {
    const json_t *value;
    *out = NULL;
    if (qg_body_find(body, key, &value, err) < 0)
        return -1;
    if (!value)
        return 0;
    if (json_is_object(value) || json_is_array(value))
        return fail_shape(key, value, "one value", err);
    *out = qg_value_to_text(value, err);
    return *out ? 0 : -1;
}

char *qg_body_text(struct qg_body *body, const char *key, struct qg_err *err) {
    char *text;
    return qg_body_take_text(body, key, &text, err) < 0 ? NULL : text;
}

int qg_body_bool(struct qg_body *body, const char *key, bool fallback, bool *out,
                 struct qg_err *err) {
    const json_t *value;
    *out = fallback;
    return qg_body_find(body, key, &value, err) < 0 ? -1 : qg_body_bool_of(key, value, out, err);
}

int qg_body_bool_of(const char *key, const json_t *value, bool *out, struct qg_err *err) {
    if (!value || json_is_null(value))
        return 0;
    const char *text = json_string_value(value);
    if (json_is_true(value) || (text && (strcasecmp(text, "true") == 0 || strcmp(text, "1") == 0)))
        *out = true;
    else if (json_is_false(value) ||
             (text && (strcasecmp(text, "false") == 0 || strcmp(text, "0") == 0)))
        *out = false;
    else if (json_is_integer(value) && (json_integer_value(value) | 1) == 1)
        *out = json_integer_value(value) == 1;
    else
        return fail_shape(key, value, "true or false", err);
    return 0;
}

int qg_body_int(struct qg_body *body, const char *key, long long fallback, long long *out,
                struct qg_err *err) {
    const json_t *value;
    int64_t number;
    *out = fallback;
    if (qg_body_find(body, key, &value, err) < 0)
        return -1;
    if (!value || json_is_null(value))
        return 0;
    if (json_is_integer(value))
        *out = json_integer_value(value);
    else if (json_is_string(value) && qg_text_to_int(json_string_value(value), &number))
        *out = number;
    else
        return fail_shape(key, value, "a whole number", err);
    return 0;
}

static int add_name(json_t *names, const char *key, const json_t *value, struct qg_err *err) {
    if (json_is_object(value) || json_is_array(value) || qg_value_is_empty(value))
        return fail_shape(key, value, "a list of names", err);
    QG_AUTO_STR char *text = qg_value_to_text(value, err);
    return text ? qg_value_append_take(names, qg_value_text(text, err), err) : -1;
}

json_t *qg_body_names(struct qg_body *body, const char *key, struct qg_err *err) {
    const json_t *value;
    QG_AUTO(json) json_t *names = qg_value_array(err);
    if (!names || qg_body_find(body, key, &value, err) < 0)
        return NULL;
    if (!value || json_is_null(value) || (json_is_string(value) && json_string_length(value) == 0))
        return QG_STEAL(names);
    if (!json_is_array(value))
        return add_name(names, key, value, err) < 0 ? NULL : QG_STEAL(names);
    size_t i;
    json_t *item;
    json_array_foreach(qg_value_mutable(value), i, item) {
        if (add_name(names, key, item, err) < 0)
            return NULL;
    }
    return QG_STEAL(names);
}

/* `key=value` in one text, the way of a command line. */
static int add_pair_text(json_t *pairs, const char *key, const json_t *item, struct qg_err *err) {
    const char *text = json_string_value(item);
    const char *equals = text ? strchr(text, '=') : NULL;
    if (!equals || equals == text)
        return fail_shape(key, item, "a list of `- name: value`", err);
    QG_AUTO_STR char *name = strndup(text, (size_t)(equals - text));
    if (!name)
        return qg_err_oom(err);
    return qg_value_set_take(pairs, name, qg_value_text(equals + 1, err), err);
}

static int add_pairs(json_t *pairs, const char *key, const json_t *item, struct qg_err *err) {
    if (!json_is_object(item))
        return add_pair_text(pairs, key, item, err);
    const char *name;
    json_t *value;
    json_object_foreach(qg_value_mutable(item), name, value) {
        if (json_is_object(value) || json_is_array(value) || !*name)
            return fail_shape(key, item, "a list of `- name: value`", err);
        if (qg_value_set_take(pairs, name, json_incref(value), err) < 0)
            return -1;
    }
    return 0;
}

json_t *qg_body_pairs(struct qg_body *body, const char *key, struct qg_err *err) {
    const json_t *value;
    QG_AUTO(json) json_t *pairs = qg_value_object(err);
    if (!pairs || qg_body_find(body, key, &value, err) < 0)
        return NULL;
    if (!value || json_is_null(value))
        return QG_STEAL(pairs);
    if (!json_is_array(value))
        return add_pairs(pairs, key, value, err) < 0 ? NULL : QG_STEAL(pairs);
    size_t i;
    json_t *item;
    json_array_foreach(qg_value_mutable(value), i, item) {
        if (add_pairs(pairs, key, item, err) < 0)
            return NULL;
    }
    return QG_STEAL(pairs);
}

int qg_body_flag(struct qg_body *body, const char *flag, bool *out, struct qg_err *err) {
    const json_t *value;
    *out = false;
    if (qg_body_find(body, flag, &value, err) < 0 ||
        (value && qg_body_bool(body, flag, true, out, err) < 0))
        return -1;
    if (qg_body_find(body, "flags", &value, err) < 0)
        return -1;
    if (!value) /* as nearly always */
        return 0;
    QG_AUTO(json) json_t *flags = qg_body_names(body, "flags", err);
    size_t i;
    json_t *item;
    json_array_foreach(flags, i, item) {
        *out = *out || qg_body_same_key(json_string_value(item), flag);
    }
    return flags ? 0 : -1;
}

json_t *qg_body_unused(const struct qg_body *body, struct qg_err *err) {
    QG_AUTO(json) json_t *unused = qg_value_array(err);
    const char *key;
    json_t *value;
    json_object_foreach(body->keys, key, value) {
        if (unused && !is_used(body, key) &&
            qg_value_append_take(unused, qg_value_text(key, err), err) < 0)
            return NULL;
    }
    return QG_STEAL(unused);
}
