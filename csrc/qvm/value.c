/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "qvm/value.h"

#include "base/text.h"
#include "wire/name.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

bool qg_value_is_default_word(const json_t *value) {
    const char *text = json_string_value(value);
    return text && strcmp(text, QG_DEFAULT_WORD) == 0;
}

static bool is_bool_text(const char *text) {
    static const char *const words[] = {"true", "false", "yes", "no", "on", "off", "1", "0"};
    for (size_t i = 0; i < QG_ARRAY_LEN(words); i++)
        if (strcasecmp(text, words[i]) == 0)
            return true;
    return false;
}

static bool means_no_qube(const char *text) {
    return text[0] == '\0' || strcasecmp(text, "none") == 0;
}

/* NULL where the text can be right for the type; else what would be. */
static const char *expected_instead(enum qg_property_type type, const char *text) {
    int64_t number;
    switch (type) {
    case QG_PROPERTY_INT:
        return qg_text_to_int(text, &number) ? NULL : "a whole number";
    case QG_PROPERTY_BOOL:
        return is_bool_text(text) ? NULL : "true or false";
    case QG_PROPERTY_VM: {
        struct qg_err ignored = {0};
        return means_no_qube(text) || strcmp(text, "dom0") == 0 ||
                       qg_name_check_qube(text, &ignored) == 0
                   ? NULL
                   : "a qube's name or none";
    }
    case QG_PROPERTY_LABEL:
        return text[0] ? NULL : "a label";
    case QG_PROPERTY_STR:
        break;
    }
    return NULL;
}

char *qg_value_for_property(const char *key, enum qg_property_type type, const json_t *value,
                            struct qg_err *err) {
    if (json_is_object(value) || json_is_array(value)) {
        qg_err_set(err, QG_ERR_INVALID, "%s: one value is expected, not a %s", key,
                   qg_value_type_name(value));
        return NULL;
    }
    QG_AUTO_STR char *text = qg_value_to_text(value, err);
    if (!text)
        return NULL;
    const char *expected = expected_instead(type, text);
    if (expected) {
        qg_err_set(err, QG_ERR_INVALID, "%s: '%s' is not %s", key, text, expected);
        return NULL;
    }
    if (type == QG_PROPERTY_VM && means_no_qube(text))
        text[0] = '\0';
    return QG_STEAL(text);
}

json_t *qg_value_of_property(enum qg_property_type type, const char *text, struct qg_err *err) {
    int64_t number;
    if (type == QG_PROPERTY_INT && qg_text_to_int(text, &number))
        return qg_value_int(number, err);
    if (type == QG_PROPERTY_BOOL && is_bool_text(text))
        return json_boolean(qg_property_equal("", type, text, "True"));
    return text[0] ? qg_value_text(text, err) : json_null();
}

json_t *qg_value_shown(const struct qg_property *property, struct qg_err *err) {
    return property->is_default ? qg_value_text(QG_DEFAULT_WORD, err)
                                : qg_value_of_property(property->type, property->value, err);
}
