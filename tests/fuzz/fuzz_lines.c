/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The lines of qubesd's answers; the first byte says which. What is read is printed and read
 * again. */
#include "fuzz.h"

#include "base/buf.h"
#include "wire/lines.h"
#include "wire/property.h"

typedef json_t *parser(const char *data, size_t length, struct qg_err *err);

static json_t *parse(parser *lines, const char *data, size_t length) {
    struct qg_err err = {0};
    json_t *value = lines(data, length, &err);
    must_explain(value ? 0 : -1, &err);
    return value;
}

static void must_reread(parser *lines, const struct qg_buf *printed, const json_t *value) {
    QG_AUTO(json) json_t *again = parse(lines, qg_buf_text(printed), printed->length);
    MUST(json_equal(again, value));
}

static void print(struct qg_buf *out, const char *text) {
    MUST(qg_buf_puts(out, text, NULL) == 0);
}

static void print_names(const json_t *value, struct qg_buf *out) {
    size_t i;
    json_t *name;
    json_array_foreach(qg_value_mutable(value), i, name) {
        print(out, json_string_value(name));
        print(out, "\n");
    }
}

static void print_pairs(const json_t *value, const char *between, struct qg_buf *out) {
    const char *key;
    json_t *text;
    json_object_foreach(qg_value_mutable(value), key, text) {
        print(out, key);
        print(out, "=");
        print(out, json_string_value(text));
        print(out, between);
    }
}

/* A word of its own is the name, so no pair may take that key. */
static void print_qubes(const json_t *value, struct qg_buf *out) {
    size_t i;
    json_t *qube;
    json_array_foreach(qg_value_mutable(value), i, qube) {
        QG_AUTO(json) json_t *pairs = json_copy(qube);
        print(out, qg_value_get_text(qube, "name"));
        print(out, " ");
        json_object_del(pairs, "name");
        print_pairs(pairs, " ", out);
        print(out, "\n");
    }
}

/* False where a value cannot be said in this format. */
static bool print_devices(const json_t *value, struct qg_buf *out) {
    size_t i;
    json_t *device, *text;
    const char *key;
    json_array_foreach(qg_value_mutable(value), i, device) {
        print(out, "port");
        json_object_foreach(device, key, text) {
            struct qg_err err = {0};
            int status = qg_lines_put_device_pair(out, key, json_string_value(text), &err);
            must_explain(status, &err);
            if (status < 0)
                return false;
        }
        print(out, "\n");
    }
    return true;
}

static void try_names(const char *data, size_t length) {
    QG_AUTO(json) json_t *value = parse(qg_lines_names, data, length);
    QG_AUTO(buf) struct qg_buf out = {0};
    print_names(value, &out);
    if (value)
        must_reread(qg_lines_names, &out, value);
}

static void try_qubes(const char *data, size_t length) {
    QG_AUTO(json) json_t *value = parse(qg_lines_qubes, data, length);
    QG_AUTO(buf) struct qg_buf out = {0};
    print_qubes(value, &out);
    if (value)
        must_reread(qg_lines_qubes, &out, value);
}

static void try_pairs(parser *lines, const char *between, const char *data, size_t length) {
    QG_AUTO(json) json_t *value = parse(lines, data, length);
    QG_AUTO(buf) struct qg_buf out = {0};
    print_pairs(value, between, &out);
    if (value)
        must_reread(lines, &out, value);
}

static void try_devices(const char *data, size_t length) {
    QG_AUTO(json) json_t *value = parse(qg_lines_devices, data, length);
    QG_AUTO(buf) struct qg_buf out = {0};
    if (value && print_devices(value, &out))
        must_reread(qg_lines_devices, &out, value);
}

static void print_property(const struct qg_property *property, struct qg_buf *out) {
    MUST(qg_buf_printf(out, NULL, "%s default=%s type=%s ", property->name,
                       property->is_default ? "True" : "False",
                       qg_property_type_name(property->type)) == 0);
    for (const char *at = property->value; *at; at++) {
        const char plain[] = {*at, '\0'};
        print(out, *at == '\n' ? "\\n" : *at == '\\' ? "\\\\" : plain);
    }
    print(out, "\n");
}

static void must_equal(const struct qg_property *a, const struct qg_property *b) {
    MUST(strcmp(a->name, b->name) == 0 && strcmp(a->value, b->value) == 0);
    MUST(a->type == b->type && a->is_default == b->is_default);
    MUST(qg_property_equal(a->name, a->type, a->value, b->value));
}

/* Equal is the same in both directions. */
static void try_equal(const struct qg_property *a, const struct qg_property *b) {
    MUST(qg_property_equal(a->name, a->type, a->value, b->value) ==
         qg_property_equal(a->name, a->type, b->value, a->value));
}

static void try_properties(const char *data, size_t length) {
    QG_AUTO(properties) struct qg_properties value = {0}, again = {0}, copy = {0};
    QG_AUTO(buf) struct qg_buf out = {0};
    struct qg_err err = {0};
    int status = qg_properties_parse(data, length, &value, &err);
    must_explain(status, &err);
    if (status < 0)
        return;
    for (size_t i = 0; i < value.count; i++)
        print_property(&value.items[i], &out);
    MUST(qg_properties_parse(qg_buf_text(&out), out.length, &again, &err) == 0);
    MUST(qg_properties_copy(&value, &copy, &err) == 0);
    MUST(again.count == value.count && copy.count == value.count);
    for (size_t i = 0; i < value.count; i++) {
        must_equal(&value.items[i], &again.items[i]);
        must_equal(&value.items[i], &copy.items[i]);
        try_equal(&value.items[0], &value.items[i]);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size == 0)
        return 0;
    const char *text = (const char *)data + 1;
    size_t length = size - 1;
    switch (data[0]) {
    case 'n':
        try_names(text, length);
        break;
    case 'q':
        try_qubes(text, length);
        break;
    case 'p':
        try_pairs(qg_lines_pairs, "\n", text, length);
        break;
    case 'w':
        try_pairs(qg_lines_words, " ", text, length);
        break;
    case 'd':
        try_devices(text, length);
        break;
    case 'g':
        try_properties(text, length);
        break;
    default:
        return -1; /* not worth keeping */
    }
    return 0;
}
