/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "nvidia/args.h"

#include "base/buf.h"
#include "base/text.h"

#include <string.h>

/* The value of a key, NULL for one that is not there or null. */
static const json_t *given(const json_t *args, const char *key) {
    const json_t *value = json_object_get(args, key);
    return json_is_null(value) ? NULL : value;
}

/* Fails, showing the value as far as it is short. */
static int wrong(const char *key, const json_t *value, const char *right, struct qg_err *err) {
    struct qg_err ignored = {0};
    QG_AUTO_STR char *shown = qg_value_dump(value, &ignored);
    return qg_err_set(err, QG_ERR_INVALID, "%s is %.80s: it must be %s", key, shown ? shown : "?",
                      right);
}

int qg_driver_args_check(const json_t *args, const char *const *known, struct qg_err *err) {
    if (!json_is_object(args))
        return qg_err_set(err, QG_ERR_INVALID, "the arguments are a %s, not a mapping",
                          qg_value_type_name(args));
    const char *key;
    json_t *unused;
    json_object_foreach((json_t *)(uintptr_t)args, key, unused) {
        const char *const *one = known;
        while (*one && strcmp(*one, key) != 0)
            one++;
        if (*one)
            continue;
        const char *nearest = qg_text_nearest(key, known);
        return qg_err_set(err, QG_ERR_INVALID, "unknown argument '%s'%s%s%s", key,
                          nearest ? "; did you mean '" : "", nearest ? nearest : "",
                          nearest ? "'?" : "");
    }
    return 0;
}

int qg_driver_args_bool(const json_t *args, const char *key, bool *out, struct qg_err *err) {
    const json_t *value = given(args, key);
    if (!value)
        return 0;
    if (!json_is_boolean(value))
        return wrong(key, value, "true or false", err);
    *out = json_is_true(value);
    return 0;
}

int qg_driver_args_text(const json_t *args, const char *key, const char **out, struct qg_err *err) {
    const json_t *value = given(args, key);
    if (!value)
        return 0;
    if (!json_is_string(value) || !json_string_length(value))
        return wrong(key, value, "text", err);
    *out = json_string_value(value);
    return 0;
}

static bool is_path(const char *text) {
    size_t length = strlen(text);
    return text[0] == '/' && length > 1 && text[length - 1] != '/' && !strstr(text, "/../") &&
           !qg_text_ends(text, "/..") && !strpbrk(text, "\n\r\t");
}

int qg_driver_args_path(const json_t *args, const char *key, const char **out, struct qg_err *err) {
    const char *text = NULL;
    if (qg_driver_args_text(args, key, &text, err) < 0)
        return -1;
    if (!text)
        return 0;
    if (!is_path(text))
        return wrong(key, given(args, key), "an absolute path", err);
    *out = text;
    return 0;
}

static bool to_number(const json_t *value, int64_t *out) {
    if (json_is_string(value))
        return qg_text_to_int(json_string_value(value), out);
    *out = json_integer_value(value);
    return json_is_integer(value);
}

int qg_driver_args_seconds(const json_t *args, const char *key, int64_t *out, struct qg_err *err) {
    const json_t *value = given(args, key);
    int64_t number = 0;
    if (!value)
        return 0;
    if (!to_number(value, &number) || number < 1 || number > 7 * 24 * 3600)
        return wrong(key, value, "a number of seconds, at least 1 and at most a week", err);
    *out = number * 1000;
    return 0;
}

static bool to_size(const char *text, uint64_t *out) {
    static const char units[] = "kmg";
    char digits[32];
    size_t length = strlen(text);
    int64_t number;
    if (!length || length >= sizeof(digits))
        return false;
    memcpy(digits, text, length + 1);
    char last = (char)(digits[length - 1] | 0x20);
    const char *unit = strchr(units, last);
    if (unit)
        digits[length - 1] = '\0';
    if (!qg_text_to_int(digits, &number) || number < 0 || number > INT64_MAX >> 31)
        return false;
    *out = (uint64_t)number << (unit ? 10 * (unit - units + 1) : 0);
    return true;
}

int qg_driver_args_size(const json_t *args, const char *key, uint64_t *out, struct qg_err *err) {
    const json_t *value = given(args, key);
    if (!value)
        return 0;
    if (json_is_integer(value) && json_integer_value(value) >= 0) {
        *out = (uint64_t)json_integer_value(value);
        return 0;
    }
    if (!json_is_string(value) || !to_size(json_string_value(value), out))
        return wrong(key, value, "a size such as 2G, or 0 to leave it alone", err);
    return 0;
}

bool qg_driver_args_is_name(const char *text) {
    static const char more[] = ".+-_:~@";
    size_t length = strlen(text);
    if (!length || length > 200 || text[0] == '-' || text[0] == '.')
        return false;
    for (; *text; text++) {
        bool plain = (*text >= '0' && *text <= '9') || (*text >= 'a' && *text <= 'z') ||
                     (*text >= 'A' && *text <= 'Z');
        if (!plain && !strchr(more, *text))
            return false;
    }
    return true;
}

static int add_name(json_t *list, const char *key, const json_t *name, struct qg_err *err) {
    if (!json_is_string(name))
        return wrong(key, name, "a list of names", err);
    if (!qg_driver_args_is_name(json_string_value(name)))
        return wrong(key, name,
                     "names of letters, digits and .+-_:~@ that begin with neither - nor . (no "
                     "version)",
                     err);
    return qg_value_append_take(list, qg_value_text(json_string_value(name), err), err);
}

int qg_driver_args_names(const json_t *args, const char *key, json_t **out, struct qg_err *err) {
    const json_t *value = given(args, key);
    *out = NULL;
    if (!value)
        return 0;
    QG_AUTO(json) json_t *list = qg_value_array(err);
    if (!list)
        return -1;
    if (json_is_array(value)) {
        size_t index;
        json_t *name;
        json_array_foreach(value, index, name) {
            if (add_name(list, key, name, err) < 0)
                return -1;
        }
    } else if (add_name(list, key, value, err) < 0) {
        return -1;
    }
    if (!json_array_size(list))
        return wrong(key, value, "a list of names that is not empty", err);
    *out = QG_STEAL(list);
    return 0;
}

int qg_driver_args_word(const json_t *args, const char *key, const char *const *words, int *out,
                        struct qg_err *err) {
    const json_t *value = given(args, key);
    if (!value)
        return 0;
    const char *text = json_string_value(value);
    QG_AUTO(buf) struct qg_buf right = {0};
    for (int i = 0; words[i]; i++) {
        if (text && strcmp(text, words[i]) == 0) {
            *out = i;
            return 0;
        }
        if (qg_buf_printf(&right, err, "%s%s", i ? (words[i + 1] ? ", " : " or ") : "", words[i]) <
            0)
            return -1;
    }
    return wrong(key, value, qg_buf_text(&right), err);
}
