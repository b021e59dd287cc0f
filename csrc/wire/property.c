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

void qg_properties_fini(struct qg_properties *properties) {
    for (size_t i = 0; i < properties->count; i++) {
        free(properties->items[i].own_name);
        free(properties->items[i].own_value);
    }
    free(properties->items);
    free(properties->text);
    *properties = (struct qg_properties){0};
}

struct qg_property *qg_properties_find(const struct qg_properties *properties, const char *name) {
    for (size_t i = 0; i < properties->count; i++)
        if (properties->items[i].name[0] == name[0] && strcmp(properties->items[i].name, name) == 0)
            return &properties->items[i];
    return NULL;
}

const char *qg_properties_value(const struct qg_properties *properties, const char *name) {
    const struct qg_property *property = qg_properties_find(properties, name);
    return property ? property->value : "";
}

/* A new item at the end, NULL when out of memory. */
static struct qg_property *append(struct qg_properties *properties, struct qg_err *err) {
    if (properties->count == properties->size) {
        size_t size = properties->size ? properties->size * 2 : 64;
        struct qg_property *items = reallocarray(properties->items, size, sizeof(*items));
        if (!items) {
            qg_err_oom(err);
            return NULL;
        }
        properties->items = items;
        properties->size = size;
    }
    struct qg_property *property = &properties->items[properties->count++];
    *property = (struct qg_property){.name = "", .value = ""};
    return property;
}

/* An item with texts of its own. */
static int append_copy(struct qg_properties *properties, const char *name,
                       enum qg_property_type type, const char *value, bool is_default,
                       struct qg_err *err) {
    struct qg_property *property = append(properties, err);
    if (!property)
        return -1;
    property->own_name = strdup(name);
    property->own_value = strdup(value);
    if (!property->own_name || !property->own_value)
        return qg_err_oom(err);
    property->name = property->own_name;
    property->value = property->own_value;
    property->type = type;
    property->is_default = is_default;
    return 0;
}

int qg_properties_put(struct qg_properties *properties, const char *name,
                      enum qg_property_type type, const char *value, bool is_default,
                      struct qg_err *err) {
    struct qg_property *property = qg_properties_find(properties, name);
    if (!property)
        return append_copy(properties, name, type, value, is_default, err);
    char *copy = strdup(value);
    if (!copy)
        return qg_err_oom(err);
    free(property->own_value);
    property->value = property->own_value = copy;
    property->is_default = is_default;
    return 0;
}

int qg_properties_copy(const struct qg_properties *from, struct qg_properties *to,
                       struct qg_err *err) {
    for (size_t i = 0; i < from->count; i++) {
        const struct qg_property *item = &from->items[i];
        if (append_copy(to, item->name, item->type, item->value, item->is_default, err) < 0)
            return -1;
    }
    return 0;
}

/* Takes `word` off the front of the line; false where something else stands there. The line is
 * terminated by something that no word holds, so comparing stops there by itself. */
static bool take_word(const char **at, const char *word) {
    const char *line = *at;
    while (*word && *line == *word) {
        line++;
        word++;
    }
    if (*word)
        return false;
    *at = line;
    return true;
}

static bool take_type(const char **at, enum qg_property_type *type) {
    for (size_t i = 0; i < QG_ARRAY_LEN(type_names); i++)
        if (**at == type_names[i][0] && take_word(at, type_names[i])) {
            *type = (enum qg_property_type)i;
            return true;
        }
    return false;
}

/* GetAll writes a newline as `\\n` and a backslash as `\\\\`; turned back in place, up to end, and
 * terminated. */
static void unescape(char *text, char *end) {
    char *to = memchr(text, '\\', (size_t)(end - text));
    if (!to) { /* as nearly always */
        *end = '\0';
        return;
    }
    for (const char *from = to; from < end; from++) {
        bool escaped = *from == '\\' && from + 1 < end;
        from += escaped;
        *to++ = escaped && *from == 'n' ? '\n' : *from;
    }
    *to = '\0';
}

/* A line of out->text, from line to the newline at end; what is taken from it is terminated in
 * place. */
static int parse_line(char *line, char *end, struct qg_properties *out, struct qg_err *err) {
    char *space = memchr(line, ' ', (size_t)(end - line));
    const char *at = space;
    bool is_default = false;
    enum qg_property_type type = QG_PROPERTY_STR;
    bool fine = space && space > line && take_word(&at, " default=");
    fine = fine && ((is_default = take_word(&at, "True type=")) || take_word(&at, "False type="));
    fine = fine && take_type(&at, &type);
    /* an empty value keeps its space, but be lenient at a line's end */
    fine = fine && (at == end || take_word(&at, " "));
    if (!fine)
        return qg_err_set(err, QG_ERR_PROTOCOL, "a property line that cannot be read: '%.*s'",
                          end - line > 80 ? 80 : (int)(end - line), line);
    struct qg_property *property = append(out, err);
    if (!property)
        return -1;
    char *value = line + (at - line);
    *space = '\0';
    unescape(value, end);
    property->name = line;
    property->value = value;
    property->type = type;
    property->is_default = is_default;
    return 0;
}

int qg_properties_parse(const char *data, size_t length, struct qg_properties *out,
                        struct qg_err *err) {
    if (!qg_text_is_utf8(data, length))
        return qg_err_set(err, QG_ERR_PROTOCOL, "properties that are not UTF-8 text");
    if (length && data[length - 1] != '\n')
        return qg_err_set(err, QG_ERR_PROTOCOL, "an answer that is cut off");
    out->text = strndup(data, length);
    if (!out->text)
        return qg_err_oom(err);
    char *line = out->text, *end = out->text + length;
    while (line < end) {
        char *newline = memchr(line, '\n', (size_t)(end - line));
        if (parse_line(line, newline, out, err) < 0)
            return -1;
        line = newline + 1;
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

bool qg_label_is_usual(const char *text) {
    for (size_t i = 1; i < QG_ARRAY_LEN(label_names); i++)
        if (strcmp(text, label_names[i]) == 0)
            return true;
    return false;
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
        if (bool_value(a) >= 0 && bool_value(b) >= 0)
            return bool_value(a) == bool_value(b);
        break;
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
