/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "doc/value.h"

#include "base/text.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static json_t *or_oom(json_t *value, struct qg_err *err) {
    if (!value)
        qg_err_oom(err);
    return value;
}

json_t *qg_value_object(struct qg_err *err) {
    return or_oom(json_object(), err);
}

json_t *qg_value_array(struct qg_err *err) {
    return or_oom(json_array(), err);
}

json_t *qg_value_text(const char *text, struct qg_err *err) {
    if (!qg_text_is_utf8(text, strlen(text))) {
        qg_err_set(err, QG_ERR_INVALID, "text that is not UTF-8: '%s'", text);
        return NULL;
    }
    return or_oom(json_string_nocheck(text), err);
}

json_t *qg_value_line(const char *text, struct qg_err *err) {
    QG_AUTO_STR char *copy = strdup(text);
    if (!copy)
        return or_oom(NULL, err);
    qg_text_clean(copy);
    return qg_value_text(copy, err);
}

json_t *qg_value_int(long long number, struct qg_err *err) {
    return or_oom(json_integer(number), err);
}

json_t *qg_value_format(struct qg_err *err, const char *format, ...) {
    va_list args;
    va_start(args, format);
    char *text = NULL;
    int length = vasprintf(&text, format, args);
    va_end(args);
    if (length < 0)
        return or_oom(NULL, err);
    json_t *value = qg_value_text(text, err);
    free(text);
    return value;
}

int qg_value_set_take(json_t *object, const char *key, json_t *value, struct qg_err *err) {
    if (!value)
        return qg_err_oom(err);
    return json_object_set_new_nocheck(object, key, value) < 0 ? qg_err_oom(err) : 0;
}

int qg_value_append_take(json_t *array, json_t *value, struct qg_err *err) {
    if (!value)
        return qg_err_oom(err);
    return json_array_append_new(array, value) < 0 ? qg_err_oom(err) : 0;
}

int qg_value_set_path_take(json_t *root, const char *const *path, json_t *value,
                           struct qg_err *err) {
    QG_AUTO(json) json_t *owned = value;
    json_t *at = root;
    for (; path[1]; path++) {
        json_t *next = json_object_get(at, path[0]);
        if (!json_is_object(next)) {
            if (qg_value_set_take(at, path[0], json_object(), err) < 0)
                return -1;
            next = json_object_get(at, path[0]);
        }
        at = next;
    }
    return qg_value_set_take(at, path[0], QG_STEAL(owned), err);
}

const char *qg_value_get_text(const json_t *object, const char *key) {
    return json_string_value(json_object_get(object, key));
}

bool qg_value_is_empty(const json_t *value) {
    if (!value || json_is_null(value))
        return true;
    if (json_is_string(value))
        return json_string_length(value) == 0;
    if (json_is_array(value))
        return json_array_size(value) == 0;
    return json_is_object(value) && json_object_size(value) == 0;
}

char *qg_value_to_text(const json_t *value, struct qg_err *err) {
    char *text = NULL;
    switch (json_typeof(value)) {
    case JSON_NULL:
        text = strdup("");
        break;
    case JSON_TRUE:
        text = strdup("True");
        break;
    case JSON_FALSE:
        text = strdup("False");
        break;
    case JSON_STRING:
        text = strdup(json_string_value(value));
        break;
    case JSON_INTEGER:
        text = qg_text_format("%" JSON_INTEGER_FORMAT, json_integer_value(value));
        break;
    case JSON_REAL:
        text = json_dumps(value, JSON_ENCODE_ANY | JSON_REAL_PRECISION(15));
        break;
    default:
        qg_err_set(err, QG_ERR_INVALID, "a %s where one value is expected",
                   qg_value_type_name(value));
        return NULL;
    }
    if (!text)
        qg_err_oom(err);
    return text;
}

const char *qg_value_type_name(const json_t *value) {
    if (!value)
        return "nothing";
    switch (json_typeof(value)) {
    case JSON_OBJECT:
        return "mapping";
    case JSON_ARRAY:
        return "list";
    case JSON_STRING:
        return "text";
    case JSON_INTEGER:
    case JSON_REAL:
        return "number";
    case JSON_TRUE:
    case JSON_FALSE:
        return "bool";
    case JSON_NULL:
        break;
    }
    return "null";
}

json_t *qg_value_copy(const json_t *value, struct qg_err *err) {
    if (!value)
        return NULL;
    QG_AUTO(json) json_t *copy = json_deep_copy(value);
    return or_oom(json_equal(copy, value) ? QG_STEAL(copy) : NULL, err);
}

static json_t *merge_at(const json_t *base, const json_t *over, int depth, struct qg_err *err);

/* A fresh copy of one value, objects through merge_at so that the depth is checked. */
static json_t *copy_at(const json_t *value, int depth, struct qg_err *err) {
    if (json_is_object(value))
        return merge_at(NULL, value, depth, err);
    return qg_value_copy(value, err);
}

static json_t *merge_at(const json_t *base, const json_t *over, int depth, struct qg_err *err) {
    if (depth > QG_VALUE_DEPTH_MAX) {
        qg_err_set(err, QG_ERR_INVALID, "mappings nested deeper than %d", QG_VALUE_DEPTH_MAX);
        return NULL;
    }
    QG_AUTO(json) json_t *out = qg_value_object(err);
    if (!out)
        return NULL;
    const char *key;
    json_t *value;
    /* jansson's iteration takes a mutable object and leaves it as it is. */
    json_object_foreach(qg_value_mutable(base), key, value) {
        if (!json_object_get(over, key) &&
            qg_value_set_take(out, key, copy_at(value, depth + 1, err), err) < 0)
            return NULL;
        if (json_object_get(over, key) && qg_value_set_take(out, key, json_null(), err) < 0)
            return NULL; /* keeps the key's place */
    }
    json_object_foreach(qg_value_mutable(over), key, value) {
        const json_t *below = json_object_get(base, key);
        json_t *merged = json_is_object(value) && json_is_object(below)
                             ? merge_at(below, value, depth + 1, err)
                             : copy_at(value, depth + 1, err);
        if (qg_value_set_take(out, key, merged, err) < 0)
            return NULL;
    }
    return QG_STEAL(out);
}

json_t *qg_value_merge(const json_t *base, const json_t *over, struct qg_err *err) {
    return over && !json_is_object(over) ? copy_at(over, 0, err) : merge_at(base, over, 0, err);
}

static bool is_clean(const json_t *value) {
    size_t i;
    const char *key;
    json_t *item;
    if (json_is_string(value))
        return qg_text_is_clean_data(json_string_value(value));
    json_array_foreach(qg_value_mutable(value), i, item) {
        if (!is_clean(item))
            return false;
    }
    json_object_foreach(qg_value_mutable(value), key, item) {
        if (!qg_text_is_clean_data(key) || !is_clean(item))
            return false;
    }
    return true;
}

static char *clean_copy(const char *text) {
    char *copy = strdup(text);
    if (copy)
        qg_text_clean_data(copy);
    return copy;
}

/* A copy of a value with its texts cleaned, NULL where memory ran out. */
static json_t *copy_clean(const json_t *value) {
    QG_AUTO(json) json_t *out = NULL;
    size_t i;
    const char *key;
    json_t *item;
    if (json_is_string(value)) {
        QG_AUTO_STR char *text = clean_copy(json_string_value(value));
        return text ? json_string_nocheck(text) : NULL;
    }
    if (!json_is_array(value) && !json_is_object(value))
        return json_incref(qg_value_mutable(value));
    out = json_is_array(value) ? json_array() : json_object();
    json_array_foreach(qg_value_mutable(value), i, item) {
        if (json_array_append_new(out, copy_clean(item)) < 0)
            return NULL;
    }
    json_object_foreach(qg_value_mutable(value), key, item) {
        QG_AUTO_STR char *name = clean_copy(key);
        if (!name || json_object_set_new_nocheck(out, name, copy_clean(item)) < 0)
            return NULL;
    }
    return QG_STEAL(out);
}

json_t *qg_value_clean(const json_t *value, struct qg_err *err) {
    return is_clean(value) ? json_incref(qg_value_mutable(value)) : or_oom(copy_clean(value), err);
}

/* Into memory of our own: json_dumps leaves keys out where its buffer cannot grow. */
char *qg_value_dump(const json_t *value, struct qg_err *err) {
    const size_t flags = JSON_COMPACT | JSON_ENCODE_ANY;
    size_t size = json_dumpb(value, NULL, 0, flags);
    QG_AUTO_STR char *text = size ? malloc(size + 1) : NULL;
    if (!text || json_dumpb(value, text, size, flags) != size) {
        qg_err_oom(err);
        return NULL;
    }
    text[size] = '\0';
    return QG_STEAL(text);
}
