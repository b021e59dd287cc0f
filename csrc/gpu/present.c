/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "gpu/present.h"

#include "base/text.h"
#include "gpu/card.h"
#include "gpu/map.h"
#include "qvm/job.h"

#include <string.h>

static const char *const keys[] = {
    "name",       "template", "class", "label",     "mem",          "memory",
    "vcpus",      "devices",  "exact", "features",  "services",     "tags",
    "menu_items", "prefs",    "netvm", "autostart", "strict_reset", NULL,
};

/* The bodies of the actions that make the qube. */
struct bodies {
    json_t *present, *prefs, *features, *service, *tags;
};

static void bodies_fini(struct bodies *bodies) {
    json_decref(bodies->present);
    json_decref(bodies->prefs);
    json_decref(bodies->features);
    json_decref(bodies->service);
    json_decref(bodies->tags);
}

QG_DEFINE_AUTO_FINI(bodies, struct bodies, bodies_fini)

static int check_keys(const json_t *args, struct qg_err *err) {
    const char *key;
    json_t *value;
    json_object_foreach(qg_value_mutable(args), key, value) {
        bool known = qg_text_starts(key, "__");
        for (const char *const *name = keys; *name && !known; name++)
            known = strcmp(*name, key) == 0;
        if (known)
            continue;
        const char *near = qg_text_nearest(key, keys);
        return qg_err_set(err, QG_ERR_INVALID, "%s: no argument of qvm_gpu.present%s%s%s", key,
                          near ? " (did you mean " : "", near ? near : "", near ? "?)" : "");
    }
    return 0;
}

/* The argument, else the default of another name, else NULL; borrowed. */
static json_t *pick(const json_t *args, const char *key, const json_t *defaults,
                    const char *default_key) {
    json_t *value = json_object_get(args, key);
    return value && !json_is_null(value) ? value : json_object_get(defaults, default_key);
}

static int put(json_t *body, const char *key, json_t *value, struct qg_err *err) {
    return value ? qg_value_set_take(body, key, json_incref(value), err) : 0;
}

static int make_present(const json_t *args, const json_t *defaults, struct bodies *bodies,
                        struct qg_err *err) {
    bodies->present = qg_value_object(err);
    if (!bodies->present || qg_value_set_take(bodies->present, "strict", json_true(), err) < 0)
        return -1;
    json_t *klass = json_object_get(args, "class");
    if (!bodies->present ||
        put(bodies->present, "template", pick(args, "template", defaults, "template_name"), err) <
            0 ||
        put(bodies->present, "label", pick(args, "label", defaults, "standalone_label"), err) < 0)
        return -1;
    return klass ? put(bodies->present, "class", klass, err)
                 : qg_value_set_take(bodies->present, "class", qg_value_text("StandaloneVM", err),
                                     err);
}

/* What a GPU qube needs (the guide): a kernel of its own, hvm for PCI, memory that does not
 * balloon. */
static int put_needs(json_t *prefs, struct qg_err *err) {
    return qg_value_set_take(prefs, "virt_mode", qg_value_text("hvm", err), err) < 0 ||
                   qg_value_set_take(prefs, "kernel", qg_value_text("", err), err) < 0 ||
                   qg_value_set_take(prefs, "maxmem", qg_value_int(0, err), err) < 0
               ? -1
               : 0;
}

/* The functions of the card that a word means (`auto`, a vendor, a model, an address), new list. */
static json_t *card_devices(struct qg_run *run, const char *word, struct qg_err *err) {
    QG_AUTO(pci_tree) struct qg_pci_tree tree = {0};
    const json_t *available = qg_run_pci(run, false, err);
    if (!available || qg_pci_tree_read(qg_run_host(run), &tree, err) < 0)
        return NULL;
    QG_AUTO(json) json_t *cards = qg_cards_find(available, &tree, err);
    const json_t *card = cards ? qg_cards_pick(cards, word, false, err) : NULL;
    return card ? qg_card_refs(card, err) : NULL;
}

/* A list is taken as it is, a word is a card, nothing at all is the one card that there is. */
static json_t *devices_of(struct qg_run *run, const json_t *args, struct qg_err *err) {
    json_t *devices = json_object_get(args, "devices");
    if (!devices || json_is_null(devices))
        return card_devices(run, QG_CARD_AUTO, err);
    return json_is_string(devices) ? card_devices(run, json_string_value(devices), err)
                                   : json_incref(devices);
}

/* How the devices are assigned. */
static int put_steering(const json_t *args, json_t *prefs, struct qg_err *err) {
    return put(prefs, "exact", json_object_get(args, "exact"), err) < 0
               ? -1
               : put(prefs, "pci_strictreset", json_object_get(args, "strict_reset"), err);
}

static int make_prefs(struct qg_run *run, const json_t *args, const json_t *defaults,
                      struct bodies *bodies, struct qg_err *err) {
    json_t *prefs = bodies->prefs = qg_value_object(err);
    const json_t *more = json_object_get(args, "prefs");
    json_t *memory = json_object_get(args, "memory");
    if (more && !json_is_null(more) && !json_is_object(more))
        return qg_err_set(err, QG_ERR_INVALID, "prefs: a mapping is expected, not a %s",
                          qg_value_type_name(more));
    if (!prefs || put(prefs, "class", json_object_get(bodies->present, "class"), err) < 0 ||
        put(prefs, "label", pick(args, "label", defaults, "standalone_label"), err) < 0 ||
        put(prefs, "memory", memory ? memory : pick(args, "mem", defaults, "standalone_memory"),
            err) < 0 ||
        put(prefs, "vcpus", pick(args, "vcpus", defaults, "standalone_cpus"), err) < 0 ||
        put(prefs, "netvm", json_object_get(args, "netvm"), err) < 0 ||
        put(prefs, "autostart", json_object_get(args, "autostart"), err) < 0 ||
        put_needs(prefs, err) < 0)
        return -1;
    const char *key;
    json_t *value;
    json_object_foreach(qg_value_mutable(more), key, value) {
        if (put(prefs, key, value, err) < 0)
            return -1;
    }
    return qg_value_set_take(prefs, "pcidevs", devices_of(run, args, err), err) < 0
               ? -1
               : put_steering(args, prefs, err);
}

static int make_features(const json_t *args, struct bodies *bodies, struct qg_err *err) {
    QG_AUTO(json) json_t *set = qg_value_object(err);
    const json_t *features = json_object_get(args, "features");
    json_t *menu = json_object_get(args, "menu_items");
    if (!set)
        return -1;
    if (features && !json_is_null(features) && !json_is_object(features))
        return qg_err_set(err, QG_ERR_INVALID, "features: a mapping is expected, not a %s",
                          qg_value_type_name(features));
    if (json_object_update(set, qg_value_mutable(features)) < 0 && features &&
        !json_is_null(features))
        return qg_err_oom(err);
    if (menu && !json_is_null(menu) && put(set, "menu-items", menu, err) < 0)
        return -1;
    if (json_object_size(set) == 0)
        return 0;
    bodies->features = qg_value_object(err);
    return bodies->features ? qg_value_set_take(bodies->features, "set", QG_STEAL(set), err) : -1;
}

static int wrap_list(const json_t *args, const char *key, const char *verb, json_t **body,
                     struct qg_err *err) {
    json_t *list = json_object_get(args, key);
    if (!list || json_is_null(list))
        return 0;
    *body = qg_value_object(err);
    return *body ? put(*body, verb, list, err) : -1;
}

int qg_gpu_present(struct qg_run *run, const json_t *args, struct qg_report *report,
                   struct qg_err *err) {
    QG_AUTO(json) json_t *map = qg_map_render(NULL, err);
    const json_t *defaults = json_object_get(map, "prefs");
    const char *name = qg_value_get_text(args, "name");
    QG_AUTO(bodies) struct bodies bodies = {0};
    if (!map || check_keys(args, err) < 0)
        return -1;
    if (!name)
        return qg_err_set(err, QG_ERR_INVALID, "name: a qube's name is expected");
    if (make_present(args, defaults, &bodies, err) < 0 ||
        make_prefs(run, args, defaults, &bodies, err) < 0 ||
        make_features(args, &bodies, err) < 0 ||
        wrap_list(args, "services", "enable", &bodies.service, err) < 0 ||
        wrap_list(args, "tags", "add", &bodies.tags, err) < 0)
        return -1;
    const struct qg_request_action all[] = {
        {&qg_action_present, bodies.present, false}, {&qg_action_prefs, bodies.prefs, false},
        {&qg_action_service, bodies.service, false}, {&qg_action_features, bodies.features, false},
        {&qg_action_tags, bodies.tags, false},
    };
    struct qg_request_action wanted[QG_ARRAY_LEN(all)];
    size_t count = 0;
    for (size_t i = 0; i < QG_ARRAY_LEN(all); i++)
        if (all[i].body)
            wanted[count++] = all[i];
    return qg_job_run(run, name, wanted, count, false, report, err);
}
