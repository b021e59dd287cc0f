/* SPDX-License-Identifier: GPL-3.0-or-later */
/* YAML into values, and values out as JSON and back. */
#include "fuzz.h"

#include "doc/json.h"
#include "doc/yaml.h"

/* JSON's floats are not YAML 1.1's. */
static bool has_real(const json_t *value) {
    size_t i;
    const char *key;
    json_t *item;
    json_array_foreach(qg_value_mutable(value), i, item) {
        if (has_real(item))
            return true;
    }
    json_object_foreach(qg_value_mutable(value), key, item) {
        if (has_real(item))
            return true;
    }
    return json_is_real(value);
}

/* Characters that JSON takes as they are: YAML breaks its lines at some, and refuses others. */
static bool has_odd_character(const char *text) {
    static const char *const odd[] = {"\x7f",         "\xe2\x80\xa8", "\xe2\x80\xa9",
                                      "\xef\xbb\xbf", "\xef\xbf\xbe", "\xef\xbf\xbf"};
    for (size_t i = 0; i < sizeof(odd) / sizeof(odd[0]); i++)
        if (strstr(text, odd[i]))
            return true;
    for (const char *at = text; (at = strchr(at, '\xc2')); at++)
        if ((unsigned char)at[1] < 0xa0)
            return true;
    return false;
}

static void try_merge(const json_t *value) {
    struct qg_err err = {0};
    QG_AUTO(json) json_t *alone = qg_value_merge(NULL, value, &err);
    QG_AUTO(json) json_t *twice = qg_value_merge(value, value, &err);
    MUST(json_equal(alone, value) && json_equal(twice, value));
}

static void try_print(const json_t *value) {
    struct qg_err err = {0};
    QG_AUTO_STR char *text = qg_value_dump(value, &err);
    MUST(text != NULL);
    QG_AUTO(json) json_t *json = qg_json_load(text, strlen(text), &err);
    MUST(json_equal(json, value));
    if (has_real(value) || has_odd_character(text))
        return;
    QG_AUTO(json) json_t *yaml = qg_yaml_load(text, strlen(text), &err);
    MUST(json_equal(yaml, value));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct qg_err err = {0};
    QG_AUTO(json) json_t *value = qg_yaml_load((const char *)data, size, &err);
    must_explain(value ? 0 : -1, &err);
    if (!value)
        return 0;
    try_print(value);
    try_merge(value);
    return 0;
}
