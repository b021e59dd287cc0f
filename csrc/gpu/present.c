/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "gpu/present.h"

#include "base/buf.h"
#include "base/text.h"
#include "gpu/card_assign.h"
#include "gpu/map.h"
#include "gpu/survey.h"
#include "gpu/volumes.h"
#include "qvm/job.h"

#include <string.h>

static const char *const keys[] = {
    "name",         "template", "source",     "class",     "label",        "mem",
    "memory",       "vcpus",    "netvm",      "autostart", "prefs",        "features",
    "services",     "tags",     "menu_items", "root_size", "private_size", "devices",
    "strict_reset", "exact",    "permissive", "force",     NULL,
};

/* The bodies of the actions that make the qube. */
struct bodies {
    json_t *create, *prefs, *features, *service, *tags, *volumes, *card;
};

static void bodies_fini(struct bodies *bodies) {
    json_decref(bodies->create);
    json_decref(bodies->prefs);
    json_decref(bodies->features);
    json_decref(bodies->service);
    json_decref(bodies->tags);
    json_decref(bodies->volumes);
    json_decref(bodies->card);
}

QG_DEFINE_AUTO_FINI(bodies, struct bodies, bodies_fini)

/* The argument, else the default of another name, else NULL; borrowed. */
static json_t *pick(const json_t *args, const char *key, const json_t *defaults,
                    const char *default_key) {
    json_t *value = json_object_get(args, key);
    return value && !json_is_null(value) ? value : json_object_get(defaults, default_key);
}

static int put(json_t *body, const char *key, json_t *value, struct qg_err *err) {
    return value ? qg_value_set_take(body, key, json_incref(value), err) : 0;
}

/* Each argument of the list that was given, under its own name. */
static int put_all(json_t *body, const json_t *args, const char *const *names, struct qg_err *err) {
    for (; *names; names++) {
        if (put(body, *names, json_object_get(args, *names), err) < 0)
            return -1;
    }
    return 0;
}

static bool is_given(const json_t *args, const char *key) {
    return !qg_value_is_empty(json_object_get(args, key));
}

/* From a template, by the action present. */
static int make_present(const json_t *args, const json_t *defaults, json_t *body,
                        struct qg_err *err) {
    if (qg_value_set_take(body, "strict", json_true(), err) < 0 ||
        put(body, "template", pick(args, "template", defaults, "template_name"), err) < 0 ||
        put(body, "label", pick(args, "label", defaults, "standalone_label"), err) < 0)
        return -1;
    return is_given(args, "class")
               ? put(body, "class", json_object_get(args, "class"), err)
               : qg_value_set_take(body, "class", qg_value_text("StandaloneVM", err), err);
}

/* How the qube comes to be: a clone of source, or from a template. */
static int make_create(const json_t *args, const json_t *defaults, struct bodies *bodies,
                       struct qg_err *err) {
    bodies->create = qg_value_object(err);
    if (!bodies->create)
        return -1;
    if (!is_given(args, "source"))
        return make_present(args, defaults, bodies->create, err);
    if (is_given(args, "template"))
        return qg_err_set(err, QG_ERR_INVALID,
                          "template and source: a new qube is made from one of them, not both");
    return put(bodies->create, "source", json_object_get(args, "source"), err);
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

/* Any other property; devices have arguments of their own, which know more. */
static int put_more(const json_t *args, json_t *prefs, struct qg_err *err) {
    const json_t *more = json_object_get(args, "prefs");
    const char *key;
    json_t *value;
    if (!qg_value_is_empty(more) && !json_is_object(more))
        return qg_err_set(err, QG_ERR_INVALID, "prefs: a mapping is expected, not a %s",
                          qg_value_type_name(more));
    json_object_foreach(qg_value_mutable(more), key, value) {
        if (qg_text_starts(key, "pci"))
            return qg_err_set(err, QG_ERR_INVALID,
                              "prefs: %s: give devices, strict_reset and permissive to "
                              "qvm_gpu.present itself",
                              key);
        if (put(prefs, key, value, err) < 0)
            return -1;
    }
    return 0;
}

static int make_prefs(const json_t *args, const json_t *defaults, struct bodies *bodies,
                      struct qg_err *err) {
    static const char *const same[] = {"netvm", "autostart", NULL};
    json_t *prefs = bodies->prefs = qg_value_object(err);
    json_t *memory = json_object_get(args, "memory");
    json_t *klass = json_object_get(bodies->create, "class");
    if (!prefs || put(prefs, "class", klass ? klass : json_object_get(args, "class"), err) < 0 ||
        put(prefs, "label", pick(args, "label", defaults, "standalone_label"), err) < 0 ||
        put(prefs, "memory", memory, err) < 0 || /* of both names prefs compares the values */
        put(prefs, memory ? "mem" : "memory",
            pick(args, "mem", memory ? NULL : defaults, "standalone_memory"), err) < 0 ||
        put(prefs, "vcpus", pick(args, "vcpus", defaults, "standalone_cpus"), err) < 0 ||
        put_all(prefs, args, same, err) < 0 || put_needs(prefs, err) < 0)
        return -1;
    return put_more(args, prefs, err);
}

/* The text of the feature menu-items; a list is one a program. */
static json_t *menu_of(const json_t *items, struct qg_err *err) {
    QG_AUTO(buf) struct qg_buf text = {0};
    size_t i;
    json_t *item;
    if (!json_is_array(items))
        return json_incref(qg_value_mutable(items));
    json_array_foreach(qg_value_mutable(items), i, item) {
        if (!json_is_string(item)) {
            qg_err_set(err, QG_ERR_INVALID, "menu_items: a text is expected, not a %s",
                       qg_value_type_name(item));
            return NULL;
        }
        if (qg_buf_printf(&text, err, "%s%s", i ? " " : "", json_string_value(item)) < 0)
            return NULL;
    }
    return qg_value_text(qg_buf_text(&text), err);
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
    if (!qg_value_is_empty(menu) &&
        qg_value_set_take(set, "menu-items", menu_of(menu, err), err) < 0)
        return -1;
    if (json_object_size(set) == 0)
        return 0;
    bodies->features = qg_value_object(err);
    return bodies->features ? qg_value_set_take(bodies->features, "set", QG_STEAL(set), err) : -1;
}

/* A list of services is to be on; in a mapping true is on, false off, and null the default. */
static int make_service(const json_t *args, struct bodies *bodies, struct qg_err *err) {
    json_t *services = json_object_get(args, "services");
    if (qg_value_is_empty(services))
        return 0;
    json_t *body = bodies->service = qg_value_object(err);
    if (!json_is_object(services))
        return body ? put(body, "enable", services, err) : -1;
    const char *name;
    json_t *value;
    json_object_foreach(services, name, value) {
        const char *key = json_is_true(value)    ? "enable"
                          : json_is_false(value) ? "disable"
                          : json_is_null(value)  ? "default"
                                                 : NULL;
        if (!key)
            return qg_err_set(err, QG_ERR_INVALID,
                              "services: %s: true, false or null is expected, not a %s", name,
                              qg_value_type_name(value));
        if (!body ||
            (!json_object_get(body, key) &&
             qg_value_set_take(body, key, qg_value_array(err), err) < 0) ||
            qg_value_append_take(json_object_get(body, key), qg_value_text(name, err), err) < 0)
            return -1;
    }
    return 0;
}

static int make_tags(const json_t *args, struct bodies *bodies, struct qg_err *err) {
    if (!is_given(args, "tags"))
        return 0;
    bodies->tags = qg_value_object(err);
    return bodies->tags ? put(bodies->tags, "add", json_object_get(args, "tags"), err) : -1;
}

static int make_hardware(const json_t *args, struct bodies *bodies, struct qg_err *err) {
    static const char *const sizes[] = {"root_size", "private_size", NULL};
    static const char *const card[] = {"devices",    "exact", "strict_reset",
                                       "permissive", "force", NULL};
    if (is_given(args, "root_size") || is_given(args, "private_size")) {
        bodies->volumes = qg_value_object(err);
        if (!bodies->volumes || put_all(bodies->volumes, args, sizes, err) < 0)
            return -1;
    }
    bodies->card = qg_value_object(err);
    return bodies->card ? put_all(bodies->card, args, card, err) : -1;
}

static int make_bodies(const json_t *args, struct bodies *bodies, struct qg_err *err) {
    QG_AUTO(json) json_t *map = qg_map_render(NULL, err);
    const json_t *defaults = json_object_get(map, "prefs");
    return !map || make_create(args, defaults, bodies, err) < 0 ||
                   make_prefs(args, defaults, bodies, err) < 0 ||
                   make_features(args, bodies, err) < 0 || make_service(args, bodies, err) < 0 ||
                   make_tags(args, bodies, err) < 0
               ? -1
               : make_hardware(args, bodies, err);
}

/* Everything up to the card belongs to the creation: where it fails there is no new qube. */
int qg_gpu_present(struct qg_run *run, const json_t *args, struct qg_report *report,
                   struct qg_err *err) {
    const char *name = qg_value_get_text(args, "name");
    QG_AUTO(bodies) struct bodies bodies = {0};
    if (qg_args_check(args, "present", keys, err) < 0)
        return -1;
    if (!name)
        return qg_err_set(err, QG_ERR_INVALID, "name: a qube's name is expected");
    if (make_bodies(args, &bodies, err) < 0)
        return -1;
    const struct qg_action *create =
        is_given(args, "source") ? &qg_action_clone : &qg_action_present;
    const struct qg_request_action all[] = {
        {create, bodies.create, false, true},
        {&qg_action_prefs, bodies.prefs, false, false},
        {&qg_action_service, bodies.service, false, false},
        {&qg_action_features, bodies.features, false, false},
        {&qg_action_tags, bodies.tags, false, false},
        {&qg_action_volumes, bodies.volumes, false, false},
        {&qg_action_card, bodies.card, false, false},
    };
    struct qg_request_action wanted[QG_ARRAY_LEN(all)];
    size_t count = 0;
    for (size_t i = 0; i < QG_ARRAY_LEN(all); i++)
        if (all[i].body)
            wanted[count++] = all[i];
    return qg_args_blame("present", qg_job_run(run, name, wanted, count, false, report, err), err);
}
