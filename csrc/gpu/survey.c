/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "gpu/survey.h"

#include "base/text.h"
#include "qubes/client.h"
#include "qubes/device.h"
#include "qvm/body.h"
#include "wire/lines.h"

#include <stdio.h>
#include <string.h>

void qg_survey_fini(struct qg_survey *survey) {
    qg_pci_tree_fini(&survey->tree);
    json_decref(survey->available);
    json_decref(survey->cards);
    json_decref(survey->qubes);
    json_decref(survey->running);
    json_decref(survey->aliases);
    *survey = (struct qg_survey){0};
}

static int copy_failure(const struct qg_call *call, struct qg_err *err) {
    if (err && err->kind == QG_ERR_NONE)
        *err = call->err;
    return -1;
}

/* The answer to a call as a list; NULL with err where it failed. */
static json_t *list_of(const struct qg_call *call, bool devices, struct qg_err *err) {
    if (call->err.kind != QG_ERR_NONE) {
        copy_failure(call, err);
        return NULL;
    }
    json_t *list = devices ? qg_lines_devices(call->data, call->data_length, err)
                           : qg_lines_qubes(call->data, call->data_length, err);
    if (!list)
        qg_err_at(err, "%s on %s", call->request.method, call->request.dest);
    return list;
}

static bool is_halted(const json_t *qube) {
    const char *state = qg_value_get_text(qube, "state");
    return state && strcmp(state, "Halted") == 0;
}

static int take_lists(struct qg_survey *survey, const struct qg_batch *batch, struct qg_err *err) {
    survey->available = list_of(&batch->calls[0], true, err);
    survey->qubes = list_of(&batch->calls[1], false, err);
    survey->running = qg_value_array(err);
    if (!survey->available || !survey->qubes || !survey->running)
        return -1;
    size_t i;
    json_t *qube;
    json_array_foreach(survey->qubes, i, qube) {
        if (!is_halted(qube) &&
            qg_value_append_take(survey->running, json_incref(json_object_get(qube, "name")), err) <
                0)
            return -1;
    }
    survey->cards = qg_cards_find(survey->available, &survey->tree, err);
    return survey->cards ? 0 : -1;
}

/* dom0 has its devices without an assignment. */
static bool has_assignments(const json_t *qube) {
    const char *klass = qg_value_get_text(qube, "class");
    return !klass || strcmp(klass, "AdminVM") != 0;
}

static int ask_devices(const struct qg_survey *survey, struct qg_batch *batch, struct qg_err *err) {
    size_t i;
    json_t *qube;
    json_array_foreach(survey->qubes, i, qube) {
        const char *name = qg_value_get_text(qube, "name");
        if (!has_assignments(qube))
            continue;
        if (qg_batch_add(batch, "admin.vm.device.pci.Assigned", NULL, name, err) < 0 ||
            (!is_halted(qube) &&
             qg_batch_add(batch, "admin.vm.device.pci.Attached", NULL, name, err) < 0))
            return -1;
    }
    return 0;
}

/* Takes one answer up; a qube that went away since the list was made has nothing. */
static int note_devices(struct qg_survey *survey, const struct qg_call *call, struct qg_err *err) {
    if (qg_err_is_qubesd(&call->err, "QubesVMNotFoundError"))
        return 0;
    bool attached = qg_text_ends(call->request.method, ".Attached");
    QG_AUTO(json) json_t *devices = list_of(call, true, err);
    return devices ? qg_cards_note_qube(survey->cards, call->request.dest, devices, attached, err)
                   : -1;
}

int qg_survey_take(struct qg_run *run, struct qg_survey *survey, struct qg_batch *extra,
                   struct qg_err *err) {
    const struct qg_client *client = qg_run_client(run);
    QG_AUTO(batch) struct qg_batch lists = {0};
    QG_AUTO(batch) struct qg_batch own = {0};
    struct qg_batch *batch = extra ? extra : &own;
    size_t from = batch->count;
    if (qg_batch_add(&lists, "admin.vm.device.pci.Available", NULL, "dom0", err) < 0 ||
        qg_batch_add(&lists, "admin.vm.List", NULL, "dom0", err) < 0 ||
        qg_batch_run(&lists, 0, client, err) < 0 ||
        qg_pci_tree_read(qg_run_host(run), &survey->tree, err) < 0 ||
        take_lists(survey, &lists, err) < 0 || ask_devices(survey, batch, err) < 0 ||
        qg_batch_run(batch, 0, client, err) < 0)
        return -1;
    for (size_t i = from; i < batch->count; i++) {
        if (note_devices(survey, &batch->calls[i], err) < 0)
            return -1;
    }
    return 0;
}

/* Where a qube stands in a list of qubes or names; the list's size: nowhere. */
static size_t place_of(const json_t *list, const char *name) {
    size_t i, count = json_array_size(list);
    for (i = 0; i < count; i++) {
        const json_t *item = json_array_get(list, i);
        const char *text =
            json_is_object(item) ? qg_value_get_text(item, "name") : json_string_value(item);
        if (strcmp(text, name) == 0)
            break;
    }
    return i;
}

/* Puts the qube into a list, or takes it out; true where that changed it. item is consumed. */
static int set_place(json_t *list, const char *name, bool wanted, json_t *item, bool *changed,
                     struct qg_err *err) {
    QG_AUTO(json) json_t *owned = item;
    size_t at = place_of(list, name);
    *changed = wanted != (at < json_array_size(list));
    if (*changed && wanted)
        return qg_value_append_take(list, QG_STEAL(owned), err);
    if (*changed)
        json_array_remove(list, at);
    return 0;
}

static int foresee_qube(struct qg_run *run, struct qg_survey *survey, const char *name,
                        struct qg_err *err) {
    QG_AUTO(qube) struct qg_qube qube = {0};
    QG_AUTO(json) json_t *classes = json_pack("[s]", "pci");
    const struct qg_want want = {.power = true, .classes = classes};
    if (!classes)
        return qg_err_oom(err);
    if (qg_run_observe(run, name, &want, false, true, &qube, err) < 0)
        return -1;
    bool runs = qube.exists && qube.power && strcmp(qube.power, "Halted") != 0, changed;
    const json_t *assigned = qg_qube_assignments(&qube, "pci");
    if (set_place(survey->qubes, name, qube.exists, json_pack("{s:s}", "name", name), &changed,
                  err) < 0 ||
        set_place(survey->running, name, runs, json_string(name), &changed, err) < 0 ||
        qg_cards_note_qube(survey->cards, name, assigned, false, err) < 0)
        return -1;
    /* what is assigned to a qube that runs is its own at the next start */
    return changed ? qg_cards_note_qube(survey->cards, name, runs ? assigned : NULL, true, err) : 0;
}

int qg_survey_foresee(struct qg_run *run, struct qg_survey *survey, struct qg_err *err) {
    const char *name;
    json_t *ignored;
    json_object_foreach(qg_value_mutable(qg_run_dry(run)), name, ignored) {
        if (strcmp(name, "dom0") != 0 && foresee_qube(run, survey, name, err) < 0)
            return -1;
    }
    return 0;
}

const json_t *qg_survey_qube(const struct qg_survey *survey, const char *name) {
    return json_array_get(survey->qubes, place_of(survey->qubes, name));
}

/* True where a text names a device of dom0 that is part of no card. */
static bool is_companion(const struct qg_survey *survey, const char *text) {
    struct qg_device_ref ref;
    struct qg_err ignored = {0};
    const json_t *device = qg_device_ref_parse(text, &ref, &ignored) == 0
                               ? qg_device_find(survey->available, &ref, &ignored)
                               : NULL;
    const char *port = qg_value_get_text(device, "port_id");
    size_t i, j;
    json_t *card, *function;
    json_array_foreach(survey->cards, i, card) {
        json_array_foreach(json_object_get(card, "functions"), j, function) {
            if (port && strcmp(port, qg_value_get_text(function, "port")) == 0)
                return false;
        }
    }
    return device && !qg_pci_is_bridge(device);
}

/* The card of a list of devices: all of one. */
static const json_t *pick_list(const struct qg_survey *survey, const json_t *list, bool companions,
                               bool force, struct qg_err *err) {
    const json_t *card = NULL;
    size_t i;
    json_t *item;
    json_array_foreach(qg_value_mutable(list), i, item) {
        const char *text = json_string_value(item);
        if (companions && text && is_companion(survey, text))
            continue;
        const json_t *other = text ? qg_cards_pick(survey->cards, text, force, err) : NULL;
        if (!text)
            qg_err_set(err, QG_ERR_INVALID,
                       "devices: a text is expected, not a %s (quote 01:00.0, YAML reads it as a "
                       "number)",
                       qg_value_type_name(item));
        if (!other)
            return NULL;
        if (card && card != other) {
            qg_err_set(err, QG_ERR_INVALID, "devices: %s is of another card than the one before it",
                       text);
            return NULL;
        }
        card = other;
    }
    if (!card)
        qg_err_set(err, QG_ERR_INVALID, "devices: the list names no card");
    return card;
}

const json_t *qg_survey_pick(const struct qg_survey *survey, const json_t *args, bool companions,
                             struct qg_err *err) {
    const json_t *devices = json_object_get(args, "devices");
    bool force;
    if (qg_args_bool(args, "force", &force, err) < 0)
        return NULL;
    if (!devices || json_is_null(devices))
        return qg_cards_pick(survey->cards, QG_CARD_AUTO, force, err);
    if (json_is_string(devices))
        return qg_cards_pick(survey->cards, json_string_value(devices), force, err);
    if (json_is_array(devices))
        return pick_list(survey, devices, companions, force, err);
    if (json_is_number(devices)) {
        qg_err_set(err, QG_ERR_INVALID,
                   "devices: %g is a number: write the device in quotes, YAML reads a bare 01:00.0 "
                   "as one (on a command line: \"'01:00.0'\")",
                   json_number_value(devices));
        return NULL;
    }
    qg_err_set(err, QG_ERR_INVALID, "devices: a text or a list of texts is expected, not a %s",
               qg_value_type_name(devices));
    return NULL;
}

bool qg_survey_is_local(const json_t *card) {
    const json_t *first = json_array_get(json_object_get(card, "functions"), 0);
    return json_is_string(json_object_get(first, "driver"));
}

int qg_args_bool(const json_t *args, const char *key, bool *out, struct qg_err *err) {
    *out = false;
    return qg_body_bool_of(key, json_object_get(args, key), out, err);
}

int qg_args_blame(const char *function, int status, struct qg_err *err) {
    if (status < 0 && err && qg_text_starts(err->where, "qvm."))
        snprintf(err->where, sizeof(err->where), "qvm_gpu.%s", function);
    return status;
}

int qg_args_check(const json_t *args, const char *function, const char *const *keys,
                  struct qg_err *err) {
    const char *key;
    json_t *value;
    json_object_foreach(qg_value_mutable(args), key, value) {
        bool known = qg_text_starts(key, "__");
        for (const char *const *name = keys; *name && !known; name++)
            known = strcmp(*name, key) == 0;
        if (known)
            continue;
        const char *near = qg_text_nearest(key, keys);
        return qg_err_set(err, QG_ERR_INVALID, "%s: no argument of qvm_gpu.%s%s%s%s", key, function,
                          near ? " (did you mean " : "", near ? near : "", near ? "?)" : "");
    }
    return 0;
}
