/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "qvm/create.h"

#include "base/text.h"
#include "qubes/device.h"
#include "qvm/value.h"
#include "wire/name.h"

#include <stdlib.h>
#include <string.h>

static const char appmenus_program[] = "qvm-appmenus";

/* Bytes of a new qube's volumes. */
static const long long ROOT_SIZE = 10LL << 30, PRIVATE_SIZE = 2LL << 30;

/* A creation while it is planned. */
struct making {
    struct qg_job *job;
    struct qg_block *block;
    const struct qg_creation *what;
    struct qg_qube source; /* everything that is to be copied */
    json_t
        *copied; /* what the clone copies, for the change: {properties, features, tags, volumes…} */
};

static void making_fini(struct making *making) {
    qg_qube_fini(&making->source);
    json_decref(making->copied);
}

QG_DEFINE_AUTO_FINI(making, struct making, making_fini)

/* The template that the new qube is based on; "" for none. A clone of a based qube has its
 * source's. */
static const char *template_of(const struct making *making) {
    const struct qg_creation *what = making->what;
    if (what->clone)
        return qg_properties_value(&making->source.properties, "template");
    return what->source ? what->source : "";
}

/* Properties that belong to a qube itself (qvm-clone leaves the same ones out). */
static bool is_own_property(const char *name) {
    static const char *const own[] = {
        "name", "qid", "template", "label", "uuid", "installed_by_rpm", "klass"};
    for (size_t i = 0; i < QG_ARRAY_LEN(own); i++)
        if (strcmp(name, own[i]) == 0)
            return true;
    return false;
}

/* The properties of a qube that was just made, for planning what follows: all default but its own.
 */
static int new_properties(const struct making *making, struct qg_qube *qube, struct qg_err *err) {
    static const struct {
        char name[24];
        enum qg_property_type type;
    } basic[] = {
        {"autostart", QG_PROPERTY_BOOL},
        {"backup_timestamp", QG_PROPERTY_INT},
        {"debug", QG_PROPERTY_BOOL},
        {"default_dispvm", QG_PROPERTY_VM},
        {"default_user", QG_PROPERTY_STR},
        {"devices_denied", QG_PROPERTY_STR},
        {"guivm", QG_PROPERTY_VM},
        {"audiovm", QG_PROPERTY_VM},
        {"include_in_backups", QG_PROPERTY_BOOL},
        {"installed_by_rpm", QG_PROPERTY_BOOL},
        {"ip", QG_PROPERTY_STR},
        {"kernel", QG_PROPERTY_STR},
        {"kernelopts", QG_PROPERTY_STR},
        {"mac", QG_PROPERTY_STR},
        {"management_dispvm", QG_PROPERTY_VM},
        {"maxmem", QG_PROPERTY_INT},
        {"memory", QG_PROPERTY_INT},
        {"netvm", QG_PROPERTY_VM},
        {"provides_network", QG_PROPERTY_BOOL},
        {"qrexec_timeout", QG_PROPERTY_INT},
        {"shutdown_timeout", QG_PROPERTY_INT},
        {"stubdom_mem", QG_PROPERTY_INT},
        {"template_for_dispvms", QG_PROPERTY_BOOL},
        {"updateable", QG_PROPERTY_BOOL},
        {"vcpus", QG_PROPERTY_INT},
        {"virt_mode", QG_PROPERTY_STR},
    };
    for (size_t i = 0; i < QG_ARRAY_LEN(basic); i++)
        if (qg_properties_put(&qube->properties, basic[i].name, basic[i].type, "", true, err) < 0)
            return -1;
    const struct qg_properties *like = &making->source.properties;
    for (size_t i = 0; i < like->count; i++)
        if (qg_properties_put(&qube->properties, like->items[i].name, like->items[i].type,
                              like->items[i].value, true, err) < 0)
            return -1;
    const char *template = template_of(making);
    bool based =
        strcmp(making->what->klass, "AppVM") == 0 || strcmp(making->what->klass, "DispVM") == 0;
    if (qg_properties_put(&qube->properties, "klass", QG_PROPERTY_STR, making->what->klass, true,
                          err) < 0 ||
        qg_properties_put(&qube->properties, "name", QG_PROPERTY_STR, qube->name, false, err) < 0 ||
        qg_properties_put(&qube->properties, "label", QG_PROPERTY_LABEL, making->what->label, false,
                          err) < 0)
        return -1;
    return based ? qg_properties_put(&qube->properties, "template", QG_PROPERTY_VM, template,
                                     !*template, err)
                 : 0;
}

/* A volume of a new qube: the source's, which is cloned, or as qubesd makes it (recorded). */
static int new_volume(const struct making *making, struct qg_qube *qube, const char *name,
                      bool cloned, long long size, struct qg_err *err) {
    json_t *info = json_object_get(making->source.volumes, name);
    if (cloned)
        return info ? qg_value_set_take(qube->volumes, name, qg_value_copy(info, err), err) : 0;
    const char *klass = making->what->klass;
    bool based = strcmp(klass, "AppVM") == 0 || strcmp(klass, "DispVM") == 0;
    bool saved = strcmp(name, "root") != 0 || !based;
    QG_AUTO(json) json_t *new = qg_value_object(err);
    if (!new || qg_value_set_take(new, "size", qg_value_format(err, "%lld", size), err) < 0 ||
        qg_value_set_take(new, "save_on_stop", qg_value_text(saved ? "True" : "False", err), err) <
            0)
        return -1;
    return qg_value_set_take(qube->volumes, name, QG_STEAL(new), err);
}

static int new_volumes(const struct making *making, struct qg_qube *qube, struct qg_err *err) {
    const struct qg_creation *what = making->what;
    return new_volume(making, qube, "root", what->clone, ROOT_SIZE, err) < 0
               ? -1
               : new_volume(making, qube, "private", what->clone && what->with_private,
                            PRIVATE_SIZE, err);
}

/* The qube as qubesd makes it: no features, the tags that every new qube has (recorded), an open
 * firewall. */
static struct qg_qube *new_qube(const struct making *making, const char *name, struct qg_err *err) {
    struct qg_qube *qube = calloc(1, sizeof(*qube));
    if (!qube) {
        qg_err_oom(err);
        return NULL;
    }
    bool fine = qg_qube_init(qube, name, err) == 0 && new_properties(making, qube, err) == 0 &&
                new_volumes(making, qube, err) == 0;
    qube->known = qube->exists = qube->all_features = true;
    qube->power = strdup("Halted");
    qube->notes = strdup("");
    qube->tags =
        json_pack("{s:b, s:b, s:b}", "audiovm-dom0", 1, "created-by-dom0", 1, "guivm-dom0", 1);
    qube->firewall = json_pack("[s]", "action=accept");
    if (fine && qube->power && qube->notes && qube->tags && qube->firewall)
        return qube;
    qg_err_oom(err);
    qg_qube_fini(qube);
    free(qube);
    return NULL;
}

struct qg_qube *qg_create_model(const char *name, const char *klass, const char *label,
                                struct qg_err *err) {
    const struct qg_creation what = {.klass = klass, .label = label};
    const struct making making = {.what = &what};
    return new_qube(&making, name, err);
}

/* True where a creation was planned and has not ended. */
static bool creation_goes_on(const struct qg_plan *plan) {
    for (size_t i = plan->count; i-- > 0;) {
        if (plan->steps[i].kind == QG_STEP_RECORD_END || plan->steps[i].kind == QG_STEP_CREATE)
            return plan->steps[i].kind == QG_STEP_CREATE;
    }
    return false;
}

int qg_create_end(struct qg_job *job, struct qg_err *err) {
    if (!creation_goes_on(&job->plan))
        return 0;
    if (!qg_plan_add(&job->plan, QG_STEP_RECORD_END, &job->qube, NULL, NULL, NULL, err))
        return -1;
    struct qg_step *end = job->plan.steps + job->plan.count; /* adding may have moved the steps */
    for (struct qg_step *step = end; (--step)->kind != QG_STEP_CREATE;)
        step->creating = true;
    return 0;
}

/* Adds a step that is part of the creation, without a change of its own. */
static struct qg_step *add(struct making *making, enum qg_step_kind kind, const char *name,
                           const char *value, json_t *extra, struct qg_err *err) {
    struct qg_step *step =
        qg_plan_add(&making->job->plan, kind, &making->job->qube, name, value, extra, err);
    if (step)
        step->creating = true;
    return step;
}

/* Notes under copied[kind] that a name was copied. */
static int note_copied(struct making *making, const char *kind, const char *name,
                       struct qg_err *err) {
    json_t *list = json_object_get(making->copied, kind);
    if (!list && qg_value_set_take(making->copied, kind, json_array(), err) < 0)
        return -1;
    return qg_value_append_take(json_object_get(making->copied, kind), qg_value_text(name, err),
                                err);
}

static int copy_properties(struct making *making, struct qg_err *err) {
    const struct qg_properties *from = &making->source.properties;
    for (size_t i = 0; i < from->count; i++) {
        const struct qg_property *item = &from->items[i];
        if (item->is_default || is_own_property(item->name))
            continue;
        if (!add(making, QG_STEP_PROPERTY_SET, item->name, item->value, NULL, err) ||
            note_copied(making, "properties", item->name, err) < 0)
            return -1;
    }
    return 0;
}

/* Preloaded disposables are the source's own business, their upper bound is not (as qvm-clone has
 * it). */
static bool is_own_feature(const char *name) {
    return qg_text_starts(name, "preload-dispvm") && strcmp(name, "preload-dispvm-max") != 0;
}

static int copy_features(struct making *making, struct qg_err *err) {
    const char *name;
    json_t *value;
    json_object_foreach(making->source.features, name, value) {
        if (!json_is_string(value) || is_own_feature(name))
            continue;
        if (!add(making, QG_STEP_FEATURE_SET, name, json_string_value(value), NULL, err) ||
            note_copied(making, "features", name, err) < 0)
            return -1;
    }
    return 0;
}

static int copy_tags(struct making *making, struct qg_err *err) {
    const char *name;
    json_t *value;
    json_object_foreach(making->source.tags, name, value) {
        if (qg_text_starts(name, "created-by-") || qg_qube_has_tag(&making->job->qube, name))
            continue;
        if (!add(making, QG_STEP_TAG_SET, name, NULL, NULL, err) ||
            note_copied(making, "tags", name, err) < 0)
            return -1;
    }
    return 0;
}

static int copy_notes_and_firewall(struct making *making, struct qg_err *err) {
    const struct qg_qube *source = &making->source;
    if (source->notes && *source->notes &&
        (!add(making, QG_STEP_NOTES_SET, NULL, source->notes, NULL, err) ||
         note_copied(making, "notes", source->name, err) < 0))
        return -1;
    if (!source->firewall || json_equal(source->firewall, making->job->qube.firewall))
        return 0;
    return add(making, QG_STEP_FIREWALL_SET, NULL, NULL, qg_value_copy(source->firewall, err), err)
               ? note_copied(making, "firewall", source->name, err)
               : -1;
}

static int copy_volume(struct making *making, const char *volume, struct qg_err *err) {
    const json_t *info = json_object_get(making->source.volumes, volume);
    const char *saved = qg_value_get_text(info, "save_on_stop");
    if (!json_is_object(info) || (saved && strcmp(saved, "True") != 0))
        return 0;
    return add(making, QG_STEP_VOLUME_CLONE, volume, making->source.name, NULL, err)
               ? note_copied(making, "volumes", volume, err)
               : -1;
}

static int copy_devices(struct making *making, struct qg_err *err) {
    const char *class;
    json_t *list;
    json_object_foreach(making->source.devices, class, list) {
        size_t i;
        json_t *assignment;
        json_array_foreach(list, i, assignment) {
            QG_AUTO(json) json_t *extra = qg_value_object(err);
            const char *mode = qg_value_get_text(assignment, "mode");
            if (!extra ||
                qg_value_set_take(extra, "device", qg_value_copy(assignment, err), err) < 0 ||
                qg_value_set_take(extra, "options", qg_device_options(assignment, err), err) < 0 ||
                !add(making, QG_STEP_ASSIGN, class, mode ? mode : "required", QG_STEAL(extra),
                     err) ||
                note_copied(making, "devices", qg_value_get_text(assignment, "port_id"), err) < 0)
                return -1;
        }
    }
    return 0;
}

/* The application menu is made by dom0's own program, where there is one. */
static int plan_appmenus(struct making *making, struct qg_err *err) {
    QG_AUTO_STR char *program = qg_host_which(qg_run_host(making->job->run), appmenus_program, err);
    if (!program)
        return err && err->kind != QG_ERR_NONE ? -1 : 0;
    json_t *extra = json_pack("{s:[s,s,s,s,s,s,s]}", "argv", appmenus_program, "--init", "--update",
                              "--source", making->source.name, "--", making->job->name);
    return extra && add(making, QG_STEP_PROGRAM, appmenus_program, NULL, extra, err)
               ? 0
               : qg_err_oom(err);
}

static int copy_all(struct making *making, struct qg_err *err) {
    if (copy_properties(making, err) < 0 || copy_tags(making, err) < 0 ||
        copy_features(making, err) < 0 || copy_notes_and_firewall(making, err) < 0 ||
        plan_appmenus(making, err) < 0 || copy_volume(making, "root", err) < 0)
        return -1;
    if (making->what->with_private && copy_volume(making, "private", err) < 0)
        return -1;
    return making->what->with_devices ? copy_devices(making, err) : 0;
}

/* What the change says of the new qube. */
static json_t *describe(const struct making *making, struct qg_err *err) {
    QG_AUTO(json) json_t *out = qg_value_object(err);
    const struct qg_creation *what = making->what;
    if (!out || qg_value_set_take(out, "class", qg_value_text(what->klass, err), err) < 0 ||
        qg_value_set_take(out, "label", qg_value_text(what->label, err), err) < 0)
        return NULL;
    if (what->source && qg_value_set_take(out, what->clone ? "source" : "template",
                                          qg_value_text(what->source, err), err) < 0)
        return NULL;
    if (what->clone && qg_value_set_take(out, "copied", json_incref(making->copied), err) < 0)
        return NULL;
    return QG_STEAL(out);
}

static int add_create(struct making *making, size_t *at, struct qg_err *err) {
    const struct qg_creation *what = making->what;
    const char *template = template_of(making);
    QG_AUTO(json) json_t *extra = qg_value_object(err);
    if (!extra || qg_value_set_take(extra, "label", qg_value_text(what->label, err), err) < 0 ||
        (*template && qg_value_set_take(extra, "template", qg_value_text(template, err), err) < 0))
        return -1;
    struct qg_step *step = add(making, QG_STEP_CREATE, NULL, what->klass, QG_STEAL(extra), err);
    if (!step)
        return -1;
    *at = making->job->plan.count - 1;
    step->model = new_qube(making, making->job->name, err);
    return step->model ? qg_step_effect(step, &making->job->qube, err) : -1;
}

/* The change is known whole only when everything that is copied was planned. */
static int set_change(struct making *making, size_t create, struct qg_err *err) {
    struct qg_step *step = &making->job->plan.steps[create];
    QG_AUTO(json) json_t *path = qg_value_array(err);
    if (!path ||
        qg_value_append_take(path, qg_value_format(err, "qvm.%s", making->block->action->name),
                             err) < 0 ||
        qg_value_append_take(path, qg_value_text(making->job->name, err), err) < 0)
        return -1;
    return qg_step_change_take(step, QG_STEAL(path), json_null(), describe(making, err), err);
}

static int plan_steps(struct making *making, struct qg_err *err) {
    size_t create;
    const char *source = making->what->source ? making->what->source : "";
    /* one call is whole or not at all; more can be cut off in between */
    bool on_record = making->what->clone || making->what->more;
    if (on_record && !add(making, QG_STEP_RECORD_BEGIN, NULL, source, NULL, err))
        return -1;
    if (add_create(making, &create, err) < 0)
        return -1;
    if (on_record && !add(making, QG_STEP_RECORD_UUID, NULL, source, NULL, err))
        return -1;
    if (making->what->clone && copy_all(making, err) < 0)
        return -1;
    if (on_record && !making->what->more && qg_create_end(making->job, err) < 0)
        return -1;
    return set_change(making, create, err);
}

/* Everything that is copied, or for a plain creation just that the template is there. */
static int observe_source(struct making *making, struct qg_err *err) {
    const struct qg_creation *what = making->what;
    struct qg_job *job = making->job;
    QG_AUTO(json) json_t *device_classes = NULL;
    /* what qvm-clone copies of devices is what a new qube can have before it ran: PCI */
    if (what->with_devices && qg_need_add(&device_classes, "pci", err) < 0)
        return -1;
    QG_AUTO(json)
    json_t *volumes =
        what->clone ? json_pack(what->with_private ? "[s,s]" : "[s]", "root", "private") : NULL;
    if (what->clone && !volumes)
        return qg_err_oom(err);
    const struct qg_want want = {.properties = true,
                                 .all_features = what->clone,
                                 .tags = what->clone,
                                 .firewall = what->clone,
                                 .notes = what->clone,
                                 .volumes = volumes,
                                 .classes = device_classes};
    if (!what->source)
        return qg_qube_init(&making->source, job->name, err);
    if (qg_run_observe(job->run, what->source, &want, false, job->test, &making->source, err) < 0)
        return -1;
    if (making->source.exists) /* a clone is of its source's class */
        return what->with_private
                   ? 0
                   : qg_create_check_base("template", what->klass, &making->source, err);
    if (!job->test)
        return qg_err_set(err, QG_ERR_INVALID, "%s: qube %s does not exist",
                          what->with_private ? "source" : "template", what->source);
    return qg_job_warn(job, err, "%s %s does not exist, and no state before this one makes it.",
                       what->with_private ? "Source" : "Template", what->source);
}

int qg_create_check_base(const char *key, const char *klass, const struct qg_qube *base,
                         struct qg_err *err) {
    const char *is = qg_qube_class(base), *needs = "a TemplateVM or StandaloneVM";
    bool fits = strcmp(is, "TemplateVM") == 0;
    if (strcmp(klass, "DispVM") == 0) {
        needs = "an AppVM with template_for_dispvms";
        fits = qg_qube_is_on(base, "template_for_dispvms");
    } else if (strcmp(klass, "AppVM") == 0) {
        needs = "a TemplateVM";
    } else {
        fits = fits || strcmp(is, "StandaloneVM") == 0;
    }
    return fits ? 0
                : qg_err_set(err, QG_ERR_INVALID, "%s: %s is of class %s, and class %s needs %s",
                             key, base->name, is, klass, needs);
}

static int check_class(const struct qg_creation *what, struct qg_err *err) {
    static const char *const classes[] = {"AppVM", "StandaloneVM", "TemplateVM", "DispVM", NULL};
    for (const char *const *known = classes; *known; known++)
        if (strcmp(what->klass, *known) == 0)
            return 0;
    const char *near = qg_text_nearest(what->klass, classes);
    return qg_err_set(
        err, QG_ERR_INVALID, "class: '%s' is not AppVM, StandaloneVM, TemplateVM or DispVM%s%s%s",
        what->klass, near ? " (did you mean " : "", near ? near : "", near ? "?)" : "");
}

int qg_create_plan(struct qg_job *job, struct qg_block *block, const struct qg_creation *creation,
                   struct qg_err *err) {
    struct qg_creation what = *creation;
    QG_AUTO(making)
    struct making making = {
        .job = job, .block = block, .what = &what, .copied = qg_value_object(err)};
    if (!making.copied || check_class(&what, err) < 0 || observe_source(&making, err) < 0)
        return -1;
    const char *source_label = qg_properties_value(&making.source.properties, "label");
    if (!what.label && what.clone && *source_label)
        what.label = source_label;
    if (!what.label)
        return qg_err_set(
            err, QG_ERR_INVALID,
            "label: missing, a new qube needs one (red, orange, yellow, green, gray, blue, "
            "purple, black)");
    if (qg_name_check_argument("label", what.label, err) < 0 || strchr(what.label, '+'))
        return qg_err_set(err, QG_ERR_INVALID, "label: '%s' is no label", what.label);
    if (strcmp(what.label, source_label) != 0 && qg_job_check_label(job, what.label, err) < 0)
        return -1;
    if (qg_block_say(block, err, "%s %s %s%s%s, label %s", job->test ? "Would create" : "Created",
                     what.klass, job->name,
                     what.source ? (what.clone ? " as a clone of " : " based on ") : "",
                     what.source ? what.source : "", what.label) < 0)
        return -1;
    return plan_steps(&making, err);
}

static int fail_resume(struct qg_job *job, const char *why, struct qg_err *err) {
    return qg_err_set(
        err, QG_ERR_INVALID,
        "A creation of %s was cut off (%s/creating-%s.json), but %s; look at the qube, then remove "
        "it or the file",
        job->name, qg_run_record_dir(job->run), job->name, why);
}

/* What was asked for and is not set is known as null. */
static bool has_features(const struct qg_qube *qube) {
    const char *name;
    json_t *value;
    json_object_foreach(qube->features, name, value) {
        if (!json_is_null(value))
            return true;
    }
    return false;
}

/* 0 where the qube that is there is the unfinished one. */
static int check_unfinished(struct qg_job *job, const json_t *record, struct qg_err *err) {
    const char *uuid = qg_value_get_text(record, "uuid");
    const struct qg_want want = {.properties = true, .power = true, .all_features = !uuid};
    if (qg_run_observe_more(job->run, &job->qube, &want, job->test, err) < 0)
        return -1;
    if (!job->qube.exists)
        return fail_resume(job, "the qube went away just now", err);
    if (strcmp(job->qube.power, "Halted") != 0)
        return fail_resume(job, "the qube is not halted", err);
    if (uuid && strcmp(uuid, qg_properties_value(&job->qube.properties, "uuid")) != 0)
        return fail_resume(job, "the qube that is there now is another one", err);
    /* cut off before its uuid was known: nothing had been copied into it yet */
    if (!uuid && has_features(&job->qube))
        return fail_resume(job, "the qube that is there has features already", err);
    return 0;
}

int qg_create_resume(struct qg_job *job, struct qg_block *block, struct qg_err *err) {
    struct qg_err problem = {0};
    QG_AUTO(json) json_t *record = qg_run_unfinished(job->run, job->name, &problem);
    if (problem.kind != QG_ERR_NONE) {
        if (err && err->kind == QG_ERR_NONE)
            *err = problem;
        return -1;
    }
    if (!record || !job->qube.exists)
        return 0;
    if (job->early) {
        job->waits = true;
        return -1;
    }
    if (check_unfinished(job, record, err) < 0)
        return -1;
    if (qg_block_say(block, err, "An earlier creation of %s was cut off: starting over",
                     job->name) < 0)
        return -1;
    return qg_job_step_take(job, block, QG_STEP_REMOVE, NULL, NULL, NULL, "unfinished",
                            qg_value_text(job->name, err), json_null(), err);
}
