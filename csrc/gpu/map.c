/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "gpu/map.h"

#include "defaults_yaml.h"
#include "doc/yaml.h"

#include <string.h>

static int check_mapping(const json_t *over, const char *part, struct qg_err *err) {
    const json_t *value = json_object_get(over, part);
    if (!value || json_is_null(value) || json_is_object(value))
        return 0;
    return qg_err_set(err, QG_ERR_INVALID, "nvidia-driver:%s: a mapping is expected, not a %s",
                      part, qg_value_type_name(value));
}

/* A list of texts, or the word auto. */
static int check_devices(const json_t *over, struct qg_err *err) {
    const json_t *devices = json_object_get(over, "devices");
    const char *word = json_string_value(devices);
    if (!devices || json_is_null(devices) || (word && *word))
        return 0;
    if (!json_is_array(devices))
        return qg_err_set(
            err, QG_ERR_INVALID,
            "nvidia-driver:devices: a list of devices or the word auto is expected, not a %s",
            qg_value_type_name(devices));
    size_t i;
    json_t *item;
    json_array_foreach(qg_value_mutable(devices), i, item) {
        if (!json_is_string(item))
            return qg_err_set(
                err, QG_ERR_INVALID,
                "nvidia-driver:devices: a text is expected, not a %s (quote 01:00.0, YAML reads it "
                "as a number)",
                qg_value_type_name(item));
    }
    return 0;
}

/* The three parts of what was given, without nulls: `prefs:` with nothing behind it says nothing.
 */
static json_t *parts_of(const json_t *over, struct qg_err *err) {
    static const char *const parts[] = {"prefs", "devices", "paths"};
    QG_AUTO(json) json_t *out = qg_value_object(err);
    for (size_t i = 0; out && i < QG_ARRAY_LEN(parts); i++) {
        json_t *value = json_object_get(over, parts[i]);
        if (value && !json_is_null(value) &&
            qg_value_set_take(out, parts[i], json_incref(value), err) < 0)
            return NULL;
    }
    return QG_STEAL(out);
}

json_t *qg_map_render(const json_t *over, struct qg_err *err) {
    if (over && !json_is_null(over) && !json_is_object(over)) {
        qg_err_set(err, QG_ERR_INVALID, "nvidia-driver: a mapping is expected, not a %s",
                   qg_value_type_name(over));
        return NULL;
    }
    if (check_mapping(over, "prefs", err) < 0 || check_mapping(over, "paths", err) < 0 ||
        check_devices(over, err) < 0)
        return NULL;
    QG_AUTO(json) json_t *defaults = qg_yaml_load(qg_defaults_yaml, qg_defaults_yaml_length, err);
    QG_AUTO(json) json_t *parts = parts_of(over, err);
    return defaults && parts ? qg_value_merge(defaults, parts, err) : NULL;
}
