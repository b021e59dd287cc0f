/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "wire/property.h"

#include "base/text.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static const char *const type_names[] = {
    [QG_PROPERTY_STR] = "str", [QG_PROPERTY_INT] = "int",     [QG_PROPERTY_BOOL] = "bool",
    [QG_PROPERTY_VM] = "vm",   [QG_PROPERTY_LABEL] = "label",
};

/* The labels that every Qubes has, at their index (recorded: admin.label.Index+yellow is 3). */
static const char *const label_names[] = {NULL,   "red",  "orange", "yellow", "green",
                                          "gray", "blue", "purple", "black"};

const char *qg_property_type_name(enum qg_property_type type) {
    return type_names[type];
}

static void property_fini(struct qg_property *property) {
    free(property->name);
    free(property->value);
}

void qg_properties_fini(struct qg_properties *properties) {
    for (size_t i = 0; i < properties->count; i++)
        property_fini(&properties->items[i]);
    free(properties->items);
    *properties = (struct qg_properties){0};
}

struct qg_property *qg_properties_find(const struct qg_properties *properties, const char *name) {
    for (size_t i = 0; i < properties->count; i++)
        if (strcmp(properties->items[i].name, name) == 0)
            return &properties->items[i];
    return NULL;
}

const char *qg_properties_value(const struct qg_properties *properties, const char *name) {
    const struct qg_property *property = qg_properties_find(properties, name);
    return property ? property->value : "";
}

/* Appends without looking for the name; name and value are consumed also on failure. */
static int append_take(struct qg_properties *properties, char *name, char *value,
                       enum qg_property_type type, bool is_default, struct qg_err *err) {
    struct qg_property property = {name, value, type, is_default};
    if (name && value && properties->count == properties->size) {
        size_t size = properties->size ? properties->size * 2 : 64;
        struct qg_property *items = reallocarray(properties->items, size, sizeof(*items));
        if (items) {
            properties->items = items;
            properties->size = size;
        }
    }
    if (!name || !value || properties->count == properties->size) {
        property_fini(&property);
        return qg_err_oom(err);
    }
    properties->items[properties->count++] = property;
    return 0;
}

int qg_properties_put(struct qg_properties *properties, const char *name,
                      enum qg_property_type type, const char *value, bool is_default,
                      struct qg_err *err) {
    struct qg_property *property = qg_properties_find(properties, name);
    if (!property)
        return append_take(properties, strdup(name), strdup(value), type, is_default, err);
    char *copy = strdup(value);
    if (!copy)
        return qg_err_oom(err);
    free(property->value);
    property->value = copy;
    property->is_default = is_default;
    return 0;
}

int qg_properties_copy(const struct qg_properties *from, struct qg_properties *to,
                       struct qg_err *err) {
    for (size_t i = 0; i < from->count; i++) {
        const struct qg_property *item = &from->items[i];
        if (append_take(to, strdup(item->name), strdup(item->value), item->type, item->is_default,
                        err) < 0)
            return -1;
    }
    return 0;
}

/* Takes `word` off the front of the line; false where something else stands there. */
static bool take_word(const char **at, const char *end, const char *word) {
    size_t length = strlen(word);
    if ((size_t)(end - *at) < length || memcmp(*at, word, length) != 0)
        return false;
    *at += length;
    return true;
}

static bool take_type(const char **at, const char *end, enum qg_property_type *type) {
    for (size_t i = 0; i < QG_ARRAY_LEN(type_names); i++)
        if (take_word(at, end, type_names[i])) {
            *type = (enum qg_property_type)i;
            return true;
        }
    return false;
}

/* GetAll writes a newline as `\n` and a backslash as `\\`. */
static char *unescape(const char *from, size_t length) {
    char *out = malloc(length + 1);
    if (!out)
        return NULL;
    char *to = out;
    for (size_t i = 0; i < length; i++) {
        if (from[i] == '\\' && i + 1 < length) {
            i++;
            *to++ = from[i] == 'n' ? '\n' : from[i];
        } else {
            *to++ = from[i];
        }
    }
    *to = '\0';
    return out;
}

static int parse_line(const char *line, size_t length, struct qg_properties *out,
                      struct qg_err *err) {
    const char *end = line + length;
    const char *at = memchr(line, ' ', length);
    size_t name_length = at ? (size_t)(at - line) : 0;
    bool is_default = false;
    enum qg_property_type type = QG_PROPERTY_STR;
    bool fine = name_length > 0 && take_word(&at, end, " default=");
    fine = fine && ((is_default = take_word(&at, end, "True")) || take_word(&at, end, "False"));
    fine = fine && take_word(&at, end, " type=") && take_type(&at, end, &type);
    /* an empty value keeps its space, but be lenient at a line's end */
    fine = fine && (at == end || take_word(&at, end, " "));
    if (!fine)
        return qg_err_set(err, QG_ERR_PROTOCOL, "a property line that cannot be read: '%.*s'",
                          length > 80 ? 80 : (int)length, line);
    return append_take(out, strndup(line, name_length), unescape(at, (size_t)(end - at)), type,
                       is_default, err);
}

int qg_properties_parse(const char *data, size_t length, struct qg_properties *out,
                        struct qg_err *err) {
    if (!qg_text_is_utf8(data, length))
        return qg_err_set(err, QG_ERR_PROTOCOL, "properties that are not UTF-8 text");
    if (length && data[length - 1] != '\n')
        return qg_err_set(err, QG_ERR_PROTOCOL, "an answer that is cut off");
    const char *end = data + length;
    while (data < end) {
        const char *newline = memchr(data, '\n', (size_t)(end - data));
        const char *line_end = newline ? newline : end;
        if (parse_line(data, (size_t)(line_end - data), out, err) < 0)
            return -1;
        data = line_end + (newline != NULL);
    }
    return 0;
}

/* qubesd's own words for a bool; -1 for none of them. */
static int bool_value(const char *text) {
    static const char *const yes[] = {"true", "yes", "on", "1"};
    static const char *const no[] = {"false", "no", "off", "0", ""};
    for (size_t i = 0; i < QG_ARRAY_LEN(yes); i++)
        if (strcasecmp(text, yes[i]) == 0)
            return 1;
    for (size_t i = 0; i < QG_ARRAY_LEN(no); i++)
        if (strcasecmp(text, no[i]) == 0)
            return 0;
    return -1;
}

static const char *label_value(const char *text) {
    int64_t index;
    bool known =
        qg_text_to_int(text, &index) && index > 0 && (size_t)index < QG_ARRAY_LEN(label_names);
    return known ? label_names[index] : text;
}

bool qg_property_equal(const char *name, enum qg_property_type type, const char *a, const char *b) {
    int64_t left, right;
    switch (type) {
    case QG_PROPERTY_INT:
        if (qg_text_to_int(a, &left) && qg_text_to_int(b, &right))
            return left == right;
        break;
    case QG_PROPERTY_BOOL:
        return bool_value(a) >= 0 && bool_value(a) == bool_value(b);
    case QG_PROPERTY_LABEL:
        return strcmp(label_value(a), label_value(b)) == 0;
    case QG_PROPERTY_STR:
        if (strcmp(name, "virt_mode") == 0)
            return strcasecmp(a, b) == 0;
        break;
    case QG_PROPERTY_VM:
        break;
    }
    return strcmp(a, b) == 0;
}
