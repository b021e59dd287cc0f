/* SPDX-License-Identifier: GPL-3.0-or-later */
/* qvm_gpu.report: the page's data, and which form it takes. */
#include "base/text.h"
#include "gpu/functions.h"
#include "gpu/ready.h"
#include "gpu/report.h"
#include "qubes/client.h"
#include "wire/property.h"

#include <string.h>

/* The properties that decide how a qube lives with a card. */
static const char *const properties_shown[] = {"virt_mode", "memory", "maxmem", "kernel"};

static json_t *qube_value(const struct qg_survey *survey, const char *name,
                          const struct qg_call *call, struct qg_err *err) {
    QG_AUTO(properties) struct qg_properties properties = {0};
    const json_t *qube = qg_survey_qube(survey, name);
    QG_AUTO(json) json_t *out = qg_value_object(err);
    if (!out ||
        (call->data && qg_properties_parse(call->data, call->data_length, &properties, err) < 0))
        return NULL;
    static const char *const keys[] = {"name", "class", "state"};
    for (size_t i = 0; i < QG_ARRAY_LEN(keys); i++) {
        const char *text = qg_value_get_text(qube, keys[i]);
        if (qg_value_set_take(out, keys[i], qg_value_line(text ? text : "", err), err) < 0)
            return NULL;
    }
    for (size_t i = 0; i < QG_ARRAY_LEN(properties_shown); i++) {
        const char *key = properties_shown[i];
        const char *text = qg_properties_value(&properties, key);
        bool own = strcmp(key, "kernel") == 0 && !*text && call->data;
        if (qg_value_set_take(out, key, qg_value_line(own ? "its own" : text, err), err) < 0)
            return NULL;
    }
    return QG_STEAL(out);
}

/* The names of all qubes that have some card, each once; new list. */
static json_t *owners(const json_t *cards, struct qg_err *err) {
    static const char *const keys[] = {"assigned", "attached"};
    QG_AUTO(json) json_t *seen = qg_value_object(err);
    QG_AUTO(json) json_t *out = seen ? qg_value_array(err) : NULL;
    size_t i, j;
    json_t *card, *name;
    json_array_foreach(qg_value_mutable(cards), i, card) {
        for (size_t k = 0; k < QG_ARRAY_LEN(keys); k++) {
            json_array_foreach(json_object_get(card, keys[k]), j, name) {
                const char *text = json_string_value(name);
                if (!out || json_object_get(seen, text))
                    continue;
                if (qg_value_set_take(seen, text, json_true(), err) < 0 ||
                    qg_value_append_take(out, json_incref(name), err) < 0)
                    return NULL;
            }
        }
    }
    return QG_STEAL(out);
}

/* The qubes that have a card, with what decides how they live with it. */
static json_t *qubes_value(struct qg_run *run, const struct qg_survey *survey, struct qg_err *err) {
    QG_AUTO(batch) struct qg_batch batch = {0};
    QG_AUTO(json) json_t *names = owners(survey->cards, err);
    QG_AUTO(json) json_t *out = names ? qg_value_array(err) : NULL;
    size_t i;
    json_t *name;
    if (!out)
        return NULL;
    json_array_foreach(names, i, name) {
        if (qg_batch_add(&batch, "admin.vm.property.GetAll", NULL,
                         qg_survey_real_name(survey, json_string_value(name)), err) < 0)
            return NULL;
    }
    if (batch.count && qg_batch_run(&batch, 0, qg_run_client(run), err) < 0)
        return NULL;
    json_array_foreach(names, i, name) {
        if (qg_value_append_take(
                out, qube_value(survey, json_string_value(name), &batch.calls[i], err), err) < 0)
            return NULL;
    }
    return QG_STEAL(out);
}

static json_t *page_value(struct qg_run *run, const json_t *args, bool mask, struct qg_err *err) {
    QG_AUTO(survey) struct qg_survey survey = {0};
    QG_AUTO(json) json_t *ready = qg_ready_check(run, args, mask, false, &survey, err);
    QG_AUTO(json) json_t *page = ready ? qg_value_object(err) : NULL;
    const json_t *card = json_object_get(ready, "card");
    const json_t *bdf = json_object_get(card, "bdf");
    if (!page || qg_value_set_take(page, "cards", json_incref(survey.cards), err) < 0 ||
        qg_value_set_take(page, "card", bdf ? json_incref(qg_value_mutable(bdf)) : json_null(),
                          err) < 0 ||
        qg_value_set_take(page, "checks", json_incref(json_object_get(ready, "checks")), err) < 0 ||
        qg_value_set_take(page, "steps", json_incref(json_object_get(ready, "steps")), err) < 0 ||
        qg_value_set_take(page, "tree", qg_report_tree(&survey, card, err), err) < 0 ||
        qg_value_set_take(page, "qubes", qubes_value(run, &survey, err), err) < 0 ||
        qg_value_set_take(page, "masked", json_boolean(mask), err) < 0)
        return NULL;
    return QG_STEAL(page);
}

static json_t *text_value(char *text, struct qg_err *err) {
    QG_AUTO_STR char *owned = text;
    return owned ? qg_value_text(owned, err) : NULL;
}

/* The page in the form asked for; NULL on failure. */
static json_t *in_form(const json_t *page, const char *format, struct qg_err *err) {
    if (strcmp(format, "text") == 0)
        return text_value(qg_report_text(page, err), err);
    if (strcmp(format, "html") == 0)
        return text_value(qg_report_html(page, err), err);
    return json_incref(qg_value_mutable(page));
}

/* The arguments of preflight alone. */
static json_t *ready_args(const json_t *args, struct qg_err *err) {
    json_t *out = qg_value_copy(args, err);
    json_object_del(out, "format");
    json_object_del(out, "mask");
    return out;
}

int qg_gpu_report(struct qg_run *run, const json_t *args, struct qg_report *report,
                  struct qg_err *err) {
    const json_t *mask = json_object_get(args, "mask");
    const char *format = qg_value_get_text(args, "format");
    format = format ? format : "text";
    QG_AUTO(json) json_t *own = ready_args(args, err);
    qg_run_begin(run);
    if (!own || qg_args_check(own, "report", qg_ready_keys, err) < 0)
        return -1;
    if (strcmp(format, "text") != 0 && strcmp(format, "html") != 0 && strcmp(format, "data") != 0)
        return qg_err_set(err, QG_ERR_INVALID, "format: text, html or data is expected, not %s",
                          format);
    QG_AUTO(json) json_t *page = page_value(run, own, !json_is_false(mask), err);
    report->data = page ? in_form(page, format, err) : NULL;
    return report->data ? 0 : -1;
}
