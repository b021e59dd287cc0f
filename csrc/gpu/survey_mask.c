/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What of a survey is nobody else's business. */
#include "gpu/survey.h"

#include "base/text.h"

#include <string.h>

/* Finds the other names: real > alias. New mapping. */
static json_t *make_names(const struct qg_survey *survey, const char *keep, const char *keep_too,
                          struct qg_err *err) {
    QG_AUTO(json) json_t *names = qg_value_object(err);
    size_t i;
    json_t *qube;
    int number = 0;
    json_array_foreach(survey->qubes, i, qube) {
        const char *name = qg_value_get_text(qube, "name");
        if (!names)
            return NULL;
        if (strcmp(name, "dom0") == 0 || (keep && strcmp(name, keep) == 0) ||
            (keep_too && strcmp(name, keep_too) == 0))
            continue;
        if (qg_value_set_take(names, name, qg_value_format(err, "qube-%d", ++number), err) < 0)
            return NULL;
    }
    return QG_STEAL(names);
}

/* Renames the texts of a list. */
static int rename_list(json_t *list, const json_t *names, struct qg_err *err) {
    size_t i;
    json_t *item;
    json_array_foreach(list, i, item) {
        json_t *alias = json_object_get(names, json_string_value(item));
        if (alias && json_array_set(list, i, alias) < 0)
            return qg_err_oom(err);
    }
    return 0;
}

static int rename_qubes(struct qg_survey *survey, const json_t *names, struct qg_err *err) {
    size_t i;
    json_t *qube;
    json_array_foreach(survey->qubes, i, qube) {
        const char *name = qg_value_get_text(qube, "name");
        json_t *alias = json_object_get(names, name);
        json_object_del(qube, "uuid");
        if (alias && (qg_value_set_take(survey->aliases, json_string_value(alias),
                                        qg_value_text(name, err), err) < 0 ||
                      qg_value_set_take(qube, "name", json_incref(alias), err) < 0))
            return -1;
    }
    return 0;
}

/* `VENDOR:DEVICE:SERIAL:INTERFACES` loses its third part. */
static int cut_serial(json_t *object, struct qg_err *err) {
    const char *identity = qg_value_get_text(object, "identity");
    const char *first = identity ? strchr(identity, ':') : NULL;
    const char *second = first ? strchr(first + 1, ':') : NULL;
    const char *last = second ? strrchr(identity, ':') : NULL;
    if (!last || last <= second + 1)
        return 0;
    return qg_value_set_take(
        object, "identity",
        qg_value_format(err, "%.*s%s", (int)(second + 1 - identity), identity, last), err);
}

static int mask_card(json_t *card, const json_t *names, struct qg_err *err) {
    size_t i;
    json_t *function;
    json_array_foreach(json_object_get(card, "functions"), i, function) {
        if (cut_serial(function, err) < 0 ||
            rename_list(json_object_get(function, "assigned"), names, err) < 0 ||
            rename_list(json_object_get(function, "attached"), names, err) < 0)
            return -1;
    }
    return cut_serial(card, err) < 0 ||
                   rename_list(json_object_get(card, "assigned"), names, err) < 0
               ? -1
               : rename_list(json_object_get(card, "attached"), names, err);
}

int qg_survey_mask(struct qg_survey *survey, const char *keep, const char *keep_too,
                   struct qg_err *err) {
    QG_AUTO(json) json_t *names = make_names(survey, keep, keep_too, err);
    survey->aliases = names ? qg_value_object(err) : NULL;
    if (!survey->aliases || rename_qubes(survey, names, err) < 0 ||
        rename_list(survey->running, names, err) < 0)
        return -1;
    size_t i;
    json_t *card;
    json_array_foreach(survey->cards, i, card) {
        if (mask_card(card, names, err) < 0)
            return -1;
    }
    return 0;
}

const char *qg_survey_real_name(const struct qg_survey *survey, const char *name) {
    const char *real = qg_value_get_text(survey->aliases, name);
    return real ? real : name;
}
