/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "gpu/map.h"

#include "base/text.h"
#include "defaults_yaml.h"
#include "doc/json.h"
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

static const char *const parts[] = {"prefs", "devices", "paths", NULL};

/* A key that is nearly a part is a slip; any other is the user's own. */
static int check_keys(const json_t *over, struct qg_err *err) {
    const char *key;
    json_t *unused;
    json_object_foreach(qg_value_mutable(over), key, unused) {
        const char *meant = qg_text_nearest(key, parts);
        if (meant && strcmp(meant, key) != 0)
            return qg_err_set(err, QG_ERR_INVALID,
                              "nvidia-driver:%s: there is no such key, is %s meant?", key, meant);
    }
    return 0;
}

/* A mapping without nulls for what has a default: `template_name:` with nothing behind it says
 * nothing. What is a text by default must be one. */
static json_t *part_of(const char *part, const json_t *given, const json_t *defaults,
                       struct qg_err *err) {
    if (!json_is_object(given))
        return json_incref(qg_value_mutable(given));
    QG_AUTO(json) json_t *out = qg_value_object(err);
    const char *key;
    json_t *value;
    json_object_foreach(qg_value_mutable(given), key, value) {
        const json_t *usual = json_object_get(defaults, key);
        if (usual && json_is_null(value))
            continue;
        if (json_is_string(usual) && !json_is_string(value)) {
            qg_err_set(err, QG_ERR_INVALID,
                       "nvidia-driver:%s:%s: a text is expected, not a %s (in quotes it is one)",
                       part, key, qg_value_type_name(value));
            return NULL;
        }
        if (!out || qg_value_set_take(out, key, json_incref(value), err) < 0)
            return NULL;
    }
    return QG_STEAL(out);
}

/* The three parts of what was given. */
static json_t *parts_of(const json_t *over, const json_t *defaults, struct qg_err *err) {
    QG_AUTO(json) json_t *out = qg_value_object(err);
    for (const char *const *part = parts; out && *part; part++) {
        const json_t *value = json_object_get(over, *part);
        if (!value || json_is_null(value))
            continue;
        json_t *taken = part_of(*part, value, json_object_get(defaults, *part), err);
        if (!taken || qg_value_set_take(out, *part, taken, err) < 0)
            return NULL;
    }
    return QG_STEAL(out);
}

/* Made from defaults.yaml: as it is, or as JSON for the file that travels (setup.py). */
static json_t *built_in(struct qg_err *err) {
#ifdef QG_DEFAULTS_JSON
    return qg_json_load(qg_defaults_yaml, qg_defaults_yaml_length, err);
#else
    return qg_yaml_load(qg_defaults_yaml, qg_defaults_yaml_length, err);
#endif
}

json_t *qg_map_render(const json_t *over, struct qg_err *err) {
    if (over && !json_is_null(over) && !json_is_object(over)) {
        qg_err_set(err, QG_ERR_INVALID, "nvidia-driver: a mapping is expected, not a %s",
                   qg_value_type_name(over));
        return NULL;
    }
    if (check_keys(over, err) < 0 || check_mapping(over, "prefs", err) < 0 ||
        check_mapping(over, "paths", err) < 0 || check_devices(over, err) < 0)
        return NULL;
    QG_AUTO(json) json_t *defaults = built_in(err);
    QG_AUTO(json) json_t *given = defaults ? parts_of(over, defaults, err) : NULL;
    return given ? qg_value_merge(defaults, given, err) : NULL;
}
