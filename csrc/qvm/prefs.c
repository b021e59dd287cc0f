/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "qvm/action.h"

#include "base/text.h"
#include "qubes/device.h"
#include "qvm/assign.h"
#include "qvm/create.h"
#include "qvm/value.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* What upstream's prefs knows, its other names for properties first. */
static const struct {
    const char *key, *property;
} aliases[] = {
    {"mem", "memory"},
    {"dispvm_allowed", "template_for_dispvms"},
    {"last_backup", "backup_timestamp"},
};

static const char *const keys[] = {
    "action",
    "get",
    "set",
    "list",
    "pcidevs",
    "pci_strictreset",
    "exact",
    "class",
    "mem",
    "autostart",
    "debug",
    "default_user",
    "default_dispvm",
    "devices_denied",
    "management_dispvm",
    "guivm",
    "audiovm",
    "template_for_dispvms",
    "dispvm_allowed",
    "virt_mode",
    "label",
    "last_backup",
    "include_in_backups",
    "installed_by_rpm",
    "ip",
    "kernel",
    "kernelopts",
    "mac",
    "maxmem",
    "memory",
    "netvm",
    "provides_network",
    "template",
    "qrexec_timeout",
    "updateable",
    "vcpus",
    "bootmode",
    "shutdown_timeout",
    "stubdom_mem",
    "keyboard_layout",
    NULL,
};

static const char *const no_flags[] = {NULL};

/* A property of this state, found and to be written. */
struct setting {
    const char *key;                    /* as the user wrote it */
    const struct qg_property *property; /* of the qube; no step moves it, it only changes */
    char *value;                        /* NULL: reset to the default */
    int rank;                           /* lower ones are written first */
};

enum {
    SETTINGS_MAX = 128,
    PVH_RANK = 7, /* of virt_mode pvh, for which PCI devices have to be gone */
};

struct settings {
    struct setting items[SETTINGS_MAX];
    size_t count;
};

static void settings_fini(struct settings *settings) {
    for (size_t i = 0; i < settings->count; i++)
        free(settings->items[i].value);
}

QG_DEFINE_AUTO_FINI(settings, struct settings, settings_fini)

/* The property behind a key, `-` turned to `_`; written to out. */
static void property_name(const char *key, char out[64]) {
    size_t length = 0;
    for (; key[length] && length < 63; length++)
        out[length] = key[length] == '-' ? '_' : key[length];
    out[length] = '\0';
    for (size_t i = 0; i < QG_ARRAY_LEN(aliases); i++)
        if (strcmp(out, aliases[i].key) == 0)
            memcpy(out, aliases[i].property, strlen(aliases[i].property) + 1);
}

static bool is_device_key(const char *name) {
    return strcmp(name, "pcidevs") == 0 || strcmp(name, "pci_strictreset") == 0 ||
           strcmp(name, "exact") == 0;
}

/* Keys that ask or steer instead of naming a property. */
static bool is_verb(const char *name) {
    static const char *const verbs[] = {"action", "get", "set", "list", "flags", NULL};
    for (const char *const *verb = verbs; *verb; verb++)
        if (strcmp(name, *verb) == 0)
            return true;
    return is_device_key(name);
}

/* `set: [{k: v}]` means the same as the keys themselves. */
static int unfold_set(struct qg_body *body, struct qg_err *err) {
    if (!json_object_get(body->keys, "set")) /* as nearly always */
        return 0;
    QG_AUTO(json) json_t *pairs = qg_body_pairs(body, "set", err);
    if (!pairs)
        return -1;
    const char *key;
    json_t *value;
    json_object_foreach(pairs, key, value) {
        if (qg_value_set_take(body->keys, key, json_incref(value), err) < 0)
            return -1;
    }
    return 0;
}

static int prefs_need(struct qg_block *block, struct qg_need *need, struct qg_err *err) {
    need->want.properties = true;
    if (unfold_set(&block->body, err) < 0)
        return -1;
    const json_t *maxmem = json_object_get(block->body.keys, "maxmem");
    QG_AUTO_STR char *text = maxmem && !json_is_object(maxmem) && !json_is_array(maxmem)
                                 ? qg_value_to_text(maxmem, err)
                                 : NULL;
    need->maxmem_on = need->maxmem_on || (text && *text && strcmp(text, "0") != 0);
    struct qg_err problem = {0};
    if (qg_body_get(&block->body, "pcidevs", &problem)) {
        need->pci = true;
        return qg_need_add(&need->classes, "pci", err);
    }
    if (problem.kind != QG_ERR_NONE && err)
        *err = problem;
    return problem.kind != QG_ERR_NONE ? -1 : 0;
}

/* A class cannot change; saying the one there is, is fine. */
static int check_class(struct qg_job *job, const json_t *value, struct qg_err *err) {
    const char *wanted = json_string_value(value);
    const char *klass = qg_qube_class(&job->qube);
    if (!wanted)
        return qg_err_set(err, QG_ERR_INVALID, "class: a class's name is expected, not a %s",
                          qg_value_type_name(value));
    if (strcmp(wanted, klass) != 0)
        return qg_err_set(err, QG_ERR_INVALID,
                          "class: %s is a %s, and a qube's class cannot change to %s", job->name,
                          klass, wanted);
    return 0;
}

/* Whether the property's old value must give way first (memory under maxmem and the other way
 * round). */
static bool lowers(const struct qg_property *property, const char *value) {
    int64_t now, then;
    return value && qg_text_to_int(property->value, &now) && qg_text_to_int(value, &then) &&
           then < now;
}

static bool is_pvh(const char *name, const char *value) {
    return value && strcmp(name, "virt_mode") == 0 && strcasecmp(value, "pvh") == 0;
}

/* What has to be written before what; equal ones keep the user's order. A value that others of the
 * state need (a network to be given, dispvms to be allowed, hvm for devices) comes first, taking it
 * away comes last. */
static int rank_of(const char *name, const struct qg_property *property, const char *value) {
    if (strcmp(name, "template") == 0)
        return 0;
    if (strcmp(name, "provides_network") == 0 || strcmp(name, "template_for_dispvms") == 0)
        return value && qg_property_equal("", QG_PROPERTY_BOOL, value, "True") ? 1 : 9;
    if (strcmp(name, "virt_mode") == 0)
        return is_pvh(name, value) ? PVH_RANK : 2;
    if (strcmp(name, "maxmem") == 0)
        return 4;
    if (strcmp(name, "memory") == 0)
        return lowers(property, value) ? 3 : 5;
    if (strcmp(name, "default_dispvm") == 0 || strcmp(name, "netvm") == 0)
        return 8;
    return 6;
}

static int fail_no_property(struct qg_job *job, const char *key, const char *name,
                            struct qg_err *err) {
    for (const char *const *known = keys; *known; known++)
        if (strcmp(*known, name) == 0)
            return qg_err_set(err, QG_ERR_INVALID, "%s: a %s has no such property", key,
                              qg_qube_class(&job->qube));
    return 0;
}

static int warn_unknown(struct qg_job *job, const char *key, struct qg_err *err) {
    const char *near = qg_text_nearest(key, keys);
    for (size_t i = 0; !near && i < job->qube.properties.count; i++) {
        const char *const one[] = {job->qube.properties.items[i].name, NULL};
        near = qg_text_nearest(key, one);
    }
    return qg_job_warn(job, err, "Unknown key ignored: prefs: %s%s%s%s", key,
                       near ? " (did you mean " : "", near ? near : "", near ? "?)" : "");
}

/* One key of the body into settings, or a warning. */
static int gather_one(struct qg_job *job, struct qg_block *block, const char *key,
                      const json_t *value, struct settings *settings, struct qg_err *err) {
    char name[64];
    property_name(key, name);
    if (is_verb(name))
        return 0;
    if (qg_body_use(&block->body, key, err) < 0)
        return -1;
    if (strcmp(name, "class") == 0)
        return check_class(job, value, err);
    const struct qg_property *property = qg_properties_find(&job->qube.properties, name);
    if (!property)
        return fail_no_property(job, key, name, err) < 0 ? -1 : warn_unknown(job, key, err);
    if (settings->count == SETTINGS_MAX)
        return qg_err_set(err, QG_ERR_INVALID, "prefs: more than %d keys", SETTINGS_MAX);
    struct setting *setting = &settings->items[settings->count];
    *setting = (struct setting){.key = key, .property = property};
    if (!qg_value_is_default_word(value)) {
        setting->value = qg_value_for_property(key, property->type, value, err);
        if (!setting->value)
            return -1;
    }
    setting->rank = rank_of(name, property, setting->value);
    settings->count++;
    for (const struct setting *same = settings->items; same < setting; same++) {
        if (same->property != property)
            continue;
        if (!same->value != !setting->value ||
            (same->value && !qg_property_equal(name, property->type, same->value, setting->value)))
            return qg_err_set(err, QG_ERR_INVALID,
                              "%s and %s: two spellings of one property with different values",
                              same->key, key);
        settings->count--;
        free(setting->value);
        break;
    }
    return 0;
}

static bool is_as_wanted(const struct setting *setting) {
    const struct qg_property *property = setting->property;
    if (!setting->value)
        return property->is_default;
    return !property->is_default &&
           qg_property_equal(property->name, property->type, property->value, setting->value);
}

/* Whether there is what the property is to name, and whether it can be that: qubesd says so only at
 * the write. */
static int check_target(struct qg_job *job, const struct setting *setting, struct qg_err *err) {
    const char *name = setting->property->name, *value = setting->value;
    const struct qg_want want = {.properties = true};
    QG_AUTO(qube) struct qg_qube other = {0};
    struct qg_err problem = {0};
    const bool own = strcmp(value, job->name) == 0; /* this very state may be making it */
    if (!own && qg_run_observe(job->run, value, &want, false, job->test, &other, &problem) < 0)
        return qg_may_stay_unknown(&problem, err);
    const struct qg_qube *target = own ? &job->qube : &other;
    const char *why = NULL;
    bool certain = !job->test; /* what is not ours may change it before a real run */
    if (!target->exists) {
        why = certain ? "does not exist" : "does not exist, and no state before this one makes it";
    } else if (strcmp(name, "template") == 0) {
        return qg_create_check_base(setting->key, qg_qube_class(&job->qube), target, err);
    } else if (strcmp(name, "netvm") == 0) {
        certain = true;
        why = qg_qube_is_on(target, "provides_network") ? NULL : "has no provides_network";
    } else if (!certain && strcmp(name, "default_dispvm") == 0) { /* an older qubesd takes it */
        why = qg_qube_is_on(target, "template_for_dispvms") ? NULL : "has no template_for_dispvms";
    }
    if (!why)
        return 0;
    return certain ? qg_err_set(err, QG_ERR_INVALID, "%s: %s %s", setting->key, value, why)
                   : qg_job_warn(job, err, "%s: %s %s", setting->key, value, why);
}

/* What can be known of a new value before it is written. */
static int check_new(struct qg_job *job, const struct setting *setting, struct qg_err *err) {
    const char *value = setting->value;
    enum qg_property_type type = setting->property->type;
    if (!value || !*value || strcmp(value, setting->property->value) == 0) /* as the default is */
        return 0;
    if (type == QG_PROPERTY_VM)
        return check_target(job, setting, err);
    /* a number is a label's index */
    return type == QG_PROPERTY_LABEL && *value > '9' ? qg_job_check_label(job, value, err) : 0;
}

/* Plans one property, or says that it is as it should be. */
static int plan_setting(struct qg_job *job, struct qg_block *block, const struct setting *setting,
                        struct qg_err *err) {
    const struct qg_property *property = setting->property;
    if (is_as_wanted(setting))
        return qg_block_skip(block, property->name,
                             property->is_default ? QG_DEFAULT_WORD : property->value, err);
    QG_AUTO(json) json_t *old = qg_value_shown(property, err);
    if (!old || check_new(job, setting, err) < 0)
        return -1;
    json_t *new = setting->value ? qg_value_of_property(property->type, setting->value, err)
                                 : qg_value_text(QG_DEFAULT_WORD, err);
    const char *before = property->is_default ? QG_DEFAULT_WORD : property->value;
    if (qg_block_say(block, err, "%-19s: %s -> %s", property->name, before[0] ? before : "none",
                     !setting->value     ? QG_DEFAULT_WORD
                     : setting->value[0] ? setting->value
                                         : "none") < 0) {
        json_decref(new);
        return -1;
    }
    return qg_job_step_take(
        job, block, setting->value ? QG_STEP_PROPERTY_SET : QG_STEP_PROPERTY_RESET, property->name,
        setting->value, NULL, property->name, QG_STEAL(old), new, err);
}

/* Plans the settings of ranks from..to in order of rank, and in the user's order within one. */
static int plan_ranks(struct qg_job *job, struct qg_block *block, const struct settings *settings,
                      int from, int to, struct qg_err *err) {
    for (int rank = from; rank <= to; rank++)
        for (size_t i = 0; i < settings->count; i++)
            if (settings->items[i].rank == rank &&
                plan_setting(job, block, &settings->items[i], err) < 0)
                return -1;
    return 0;
}

static int plan_pvh(struct qg_job *job, struct qg_block *block, struct qg_err *err) {
    const struct qg_property *property = qg_properties_find(&job->qube.properties, "virt_mode");
    char value[] = "pvh";
    const struct setting setting = {.key = "virt_mode", .property = property, .value = value};
    QG_AUTO(json) json_t *classes = json_pack("[s]", "pci");
    const struct qg_want want = {.classes = classes};
    if (!classes)
        return qg_err_oom(err);
    if (!qg_qube_assignments(&job->qube, "pci") && !is_as_wanted(&setting) &&
        qg_job_observe_more(job, &want, err) < 0)
        return -1;
    const json_t *assigned = qg_qube_assignments(&job->qube, "pci");
    if (json_array_size(assigned))
        return qg_err_set(
            err, QG_ERR_INVALID,
            "virt_mode: pvh and PCI devices (%s: %s%s) contradict each other: qubesd has them with "
            "hvm and pv only",
            json_object_get(block->body.keys, "pcidevs") ? "pcidevs" : "devices",
            qg_value_get_text(json_array_get(assigned, 0), "port_id"),
            json_array_size(assigned) > 1 ? ", ..." : "");
    return plan_setting(job, block, &setting, err);
}

/* What the devices of the same state leave assigned is known only when they are planned. */
static bool devices_follow(const struct qg_job *job, const struct qg_block *block) {
    for (const struct qg_block *next = block + 1; next < job->blocks + job->count; next++)
        if (next->action->traits & QG_ACTION_ASSIGNS)
            return true;
    return false;
}

/* virt_mode pvh, where it is wanted: now, or behind the devices. */
static int plan_mode(struct qg_job *job, struct qg_block *block, const struct settings *settings,
                     struct qg_err *err) {
    bool wanted = false;
    for (size_t i = 0; i < settings->count; i++)
        wanted = wanted || settings->items[i].rank == PVH_RANK;
    if (!wanted)
        return 0;
    if (!devices_follow(job, block))
        return plan_pvh(job, block, err);
    job->pvh = block;
    return 0;
}

int qg_prefs_plan_deferred(struct qg_job *job, struct qg_err *err) {
    struct qg_block *prefs = job->pvh;
    job->pvh = NULL;
    return prefs ? plan_pvh(job, prefs, err) : 0;
}

/* True for a bare `get`, `list` or words: the values are asked for, nothing is to be set. */
static bool is_asking(const struct settings *settings, const struct qg_block *block) {
    return settings->count == 0 && !json_object_get(block->body.keys, "pcidevs") &&
           !json_object_get(block->body.keys, "pci_strictreset") &&
           !json_object_get(block->body.keys, "pci-strictreset") &&
           !json_object_get(block->body.keys, "class") &&
           (json_array_size(block->body.words) > 0 || json_object_get(block->body.keys, "get") ||
            json_object_get(block->body.keys, "list") ||
            json_object_get(block->body.keys, "action") || json_object_size(block->body.keys) == 0);
}

static int answer_one(struct qg_block *block, json_t *data, const struct qg_property *property,
                      struct qg_err *err) {
    return qg_block_say(block, err, "%-19s: %s", property->name, property->value) < 0
               ? -1
               : qg_value_set_take(data, property->name,
                                   qg_value_of_property(property->type, property->value, err), err);
}

/* Lists the properties that are asked for, all where none is named. */
static int answer(struct qg_job *job, struct qg_block *block, struct qg_err *err) {
    QG_AUTO(json) json_t *names = qg_body_names(&block->body, "get", err);
    QG_AUTO(json) json_t *data = qg_value_object(err);
    if (!names || !data || qg_body_use(&block->body, "list", err) < 0 ||
        qg_body_use(&block->body, "action", err) < 0 ||
        (block->body.words && json_array_extend(names, block->body.words) < 0))
        return -1;
    size_t i;
    json_t *item;
    json_array_foreach(names, i, item) {
        QG_AUTO_STR char *key = qg_value_to_text(item, err);
        if (!key)
            return -1;
        char name[64];
        property_name(key, name);
        if (strcmp(name, "get") == 0 || strcmp(name, "list") == 0 || strcmp(name, "gry") == 0)
            continue;
        const struct qg_property *property = qg_properties_find(&job->qube.properties, name);
        if (!property)
            return qg_block_fail(block, err, "%-19s: Invalid key!", key);
        if (answer_one(block, data, property, err) < 0)
            return -1;
    }
    if (json_array_size(names) == 0)
        for (i = 0; i < job->qube.properties.count; i++)
            if (answer_one(block, data, &job->qube.properties.items[i], err) < 0)
                return -1;
    block->data = QG_STEAL(data);
    return 0;
}

/* Keys as upstream has them, then any property that this qubesd lists for the qube. */
static int prefs_plan(struct qg_job *job, struct qg_block *block, struct qg_err *err) {
    bool exists;
    if (qg_job_must_exist(job, block, &exists, err) < 0)
        return -1;
    if (!exists)
        return 0;
    QG_AUTO(settings) struct settings settings;
    settings.count = 0; /* the rest needs no zeros */
    if (json_object_get(block->body.keys, "flags") &&
        qg_job_know_flags(job, block, no_flags, err) < 0)
        return -1;
    const char *key;
    json_t *value;
    json_object_foreach(block->body.keys, key, value) {
        if (gather_one(job, block, key, value, &settings, err) < 0)
            return -1;
    }
    if (is_asking(&settings, block))
        return answer(job, block, err);
    if (plan_ranks(job, block, &settings, 0, PVH_RANK - 1, err) < 0 ||
        qg_assign_pcidevs(job, block, err) < 0 || plan_mode(job, block, &settings, err) < 0)
        return -1;
    return plan_ranks(job, block, &settings, PVH_RANK + 1, 9, err);
}

const struct qg_action qg_action_prefs = {"prefs", keys, prefs_need, prefs_plan, QG_ACTION_EARLY};
