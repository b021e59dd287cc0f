/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "plan/step.h"

#include "base/text.h"
#include "qubes/device.h"

#include <stdlib.h>
#include <string.h>

static const char kind_names[][16] = {
    [QG_STEP_CREATE] = "create",
    [QG_STEP_REMOVE] = "remove",
    [QG_STEP_PROPERTY_SET] = "property.set",
    [QG_STEP_PROPERTY_RESET] = "property.reset",
    [QG_STEP_FEATURE_SET] = "feature.set",
    [QG_STEP_FEATURE_REMOVE] = "feature.remove",
    [QG_STEP_TAG_SET] = "tag.set",
    [QG_STEP_TAG_REMOVE] = "tag.remove",
    [QG_STEP_FIREWALL_SET] = "firewall.set",
    [QG_STEP_NOTES_SET] = "notes.set",
    [QG_STEP_ASSIGN] = "device.assign",
    [QG_STEP_UNASSIGN] = "device.unassign",
    [QG_STEP_VOLUME_CLONE] = "volume.clone",
    [QG_STEP_VOLUME_RESIZE] = "volume.resize",
    [QG_STEP_START] = "start",
    [QG_STEP_SHUTDOWN] = "shutdown",
    [QG_STEP_KILL] = "kill",
    [QG_STEP_PAUSE] = "pause",
    [QG_STEP_UNPAUSE] = "unpause",
    [QG_STEP_PROGRAM] = "program",
    [QG_STEP_RECORD_BEGIN] = "record.begin",
    [QG_STEP_RECORD_UUID] = "record.uuid",
    [QG_STEP_RECORD_END] = "record.end",
};

static void step_fini(struct qg_step *step) {
    free(step->qube);
    free(step->name);
    free(step->value);
    json_decref(step->extra);
    if (step->model)
        qg_qube_fini(step->model);
    free(step->model);
    json_decref(step->path);
    json_decref(step->old);
    json_decref(step->new);
}

void qg_plan_fini(struct qg_plan *plan) {
    for (size_t i = 0; i < plan->count; i++)
        step_fini(&plan->steps[i]);
    free(plan->steps);
    *plan = (struct qg_plan){0};
}

static struct qg_step *plan_grow(struct qg_plan *plan, struct qg_err *err) {
    if (plan->count == plan->size) {
        size_t size = plan->size ? plan->size * 2 : 16;
        struct qg_step *steps = reallocarray(plan->steps, size, sizeof(*steps));
        if (!steps) {
            qg_err_oom(err);
            return NULL;
        }
        plan->steps = steps;
        plan->size = size;
    }
    struct qg_step *step = &plan->steps[plan->count++];
    *step = (struct qg_step){0};
    return step;
}

struct qg_step *qg_plan_add(struct qg_plan *plan, enum qg_step_kind kind, struct qg_qube *qube,
                            const char *name, const char *value, json_t *extra,
                            struct qg_err *err) {
    struct qg_step *step = plan_grow(plan, err);
    if (!step) {
        json_decref(extra);
        return NULL;
    }
    *step = (struct qg_step){.kind = kind,
                             .qube = strdup(qube->name),
                             .name = name ? strdup(name) : NULL,
                             .value = value ? strdup(value) : NULL,
                             .extra = extra};
    if (!step->qube || (name && !step->name) || (value && !step->value)) {
        qg_err_oom(err);
        return NULL;
    }
    return qg_step_effect(step, qube, err) < 0 ? NULL : step;
}

int qg_step_change_take(struct qg_step *step, json_t *path, json_t *old, json_t *new,
                        struct qg_err *err) {
    json_decref(step->path);
    json_decref(step->old);
    json_decref(step->new);
    step->path = path;
    step->old = old;
    step->new = new;
    return path && old && new ? 0 : qg_err_oom(err);
}

static int set_power(struct qg_qube *qube, const char *state, struct qg_err *err) {
    char *copy = strdup(state);
    if (!copy)
        return qg_err_oom(err);
    free(qube->power);
    qube->power = copy;
    return 0;
}

static int put_property(struct qg_qube *qube, const char *name, const char *value, bool is_default,
                        struct qg_err *err) {
    const struct qg_property *known = qg_properties_find(&qube->properties, name);
    if (!known)
        return 0; /* the properties were not asked for */
    return qg_properties_put(&qube->properties, name, known->type, value, is_default, err);
}

/* qubesd keeps service.meminfo-writer in maxmem: off is maxmem 0, and the feature itself goes away.
 */
static int effect_feature(const struct qg_step *step, struct qg_qube *qube, struct qg_err *err) {
    bool off = step->value && step->value[0] == '\0';
    if (strcmp(step->name, "service.meminfo-writer") == 0 && off) {
        if (put_property(qube, "maxmem", "0", false, err) < 0)
            return -1;
        return qg_value_set_take(qube->features, step->name, json_null(), err);
    }
    json_t *value = step->value ? qg_value_text(step->value, err) : json_null();
    return value ? qg_value_set_take(qube->features, step->name, value, err) : -1;
}

/* The list of a class's assignments, made where it is not there yet. */
static json_t *assignments(struct qg_qube *qube, const char *devclass, struct qg_err *err) {
    json_t *list = json_object_get(qube->devices, devclass);
    if (!list && qg_value_set_take(qube->devices, devclass, json_array(), err) < 0)
        return NULL;
    return json_object_get(qube->devices, devclass);
}

static int drop_assignment(json_t *list, const json_t *device) {
    for (size_t i = json_array_size(list); i-- > 0;)
        if (qg_device_same(json_array_get(list, i), device))
            json_array_remove(list, i);
    return 0;
}

static int effect_assign(const struct qg_step *step, struct qg_qube *qube, struct qg_err *err) {
    json_t *list = assignments(qube, step->name, err);
    const json_t *device = json_object_get(step->extra, "device");
    if (!list)
        return -1;
    drop_assignment(list, device);
    QG_AUTO(json) json_t *entry = qg_value_object(err);
    static const char *const keys[] = {"port_id", "device_id", "backend_domain"};
    for (size_t i = 0; entry && i < QG_ARRAY_LEN(keys); i++) {
        json_t *value = json_object_get(device, keys[i]);
        if (value && qg_value_set_take(entry, keys[i], json_incref(value), err) < 0)
            return -1;
    }
    if (!entry || qg_value_set_take(entry, "mode", qg_value_text(step->value, err), err) < 0)
        return -1;
    const char *key;
    json_t *value;
    json_object_foreach(json_object_get(step->extra, "options"), key, value) {
        QG_AUTO_STR char *name = qg_text_format("_%s", key);
        if (!name)
            return qg_err_oom(err);
        if (qg_value_set_take(entry, name, json_incref(value), err) < 0)
            return -1;
    }
    /* the default of virt_mode is hvm as soon as a PCI device is assigned (recorded) */
    const struct qg_property *mode = qg_properties_find(&qube->properties, "virt_mode");
    if (strcmp(step->name, "pci") == 0 && mode && mode->is_default &&
        put_property(qube, "virt_mode", "hvm", true, err) < 0)
        return -1;
    return qg_value_append_take(list, QG_STEAL(entry), err);
}

static int effect_create(const struct qg_step *step, struct qg_qube *qube, struct qg_err *err) {
    if (!step->model)
        return 0; /* the creator fills the qube itself */
    struct qg_qube copy = {0};
    if (qg_qube_copy(step->model, &copy, err) < 0) {
        qg_qube_fini(&copy);
        return -1;
    }
    qg_qube_fini(qube);
    *qube = copy;
    return 0;
}

static int effect_tags(const struct qg_step *step, struct qg_qube *qube, struct qg_err *err) {
    if (!qube->tags)
        return 0;
    if (step->kind == QG_STEP_TAG_SET)
        return qg_value_set_take(qube->tags, step->name, json_true(), err);
    json_object_del(qube->tags, step->name);
    return 0;
}

static int effect_remove(struct qg_qube *qube, struct qg_err *err) {
    QG_AUTO_STR char *name = strdup(qube->name);
    if (!name)
        return qg_err_oom(err);
    qg_qube_fini(qube);
    if (qg_qube_init(qube, name, err) < 0)
        return -1;
    qube->known = true;
    return 0;
}

static int effect_resize(const struct qg_step *step, struct qg_qube *qube, struct qg_err *err) {
    json_t *info = json_object_get(qube->volumes, step->name);
    return info ? qg_value_set_take(info, "size", qg_value_text(step->value, err), err) : 0;
}

int qg_step_effect(const struct qg_step *step, struct qg_qube *qube, struct qg_err *err) {
    switch (step->kind) {
    case QG_STEP_CREATE:
        return effect_create(step, qube, err);
    case QG_STEP_REMOVE:
        return effect_remove(qube, err);
    case QG_STEP_PROPERTY_SET:
        return put_property(qube, step->name, step->value, false, err);
    case QG_STEP_PROPERTY_RESET:
        return put_property(qube, step->name, qg_properties_value(&qube->properties, step->name),
                            true, err);
    case QG_STEP_FEATURE_SET:
    case QG_STEP_FEATURE_REMOVE:
        return effect_feature(step, qube, err);
    case QG_STEP_TAG_SET:
    case QG_STEP_TAG_REMOVE:
        return effect_tags(step, qube, err);
    case QG_STEP_FIREWALL_SET:
        json_decref(qube->firewall);
        qube->firewall = qg_value_copy(step->extra, err);
        return qube->firewall ? 0 : qg_err_oom(err);
    case QG_STEP_ASSIGN:
        return effect_assign(step, qube, err);
    case QG_STEP_UNASSIGN:
        return drop_assignment(json_object_get(qube->devices, step->name),
                               json_object_get(step->extra, "device"));
    case QG_STEP_VOLUME_RESIZE:
        return effect_resize(step, qube, err);
    case QG_STEP_START:
    case QG_STEP_UNPAUSE:
        return set_power(qube, "Running", err);
    case QG_STEP_SHUTDOWN:
    case QG_STEP_KILL:
        return set_power(qube, "Halted", err);
    case QG_STEP_PAUSE:
        return set_power(qube, "Paused", err);
    case QG_STEP_PROGRAM:
        return effect_create(step, qube, err); /* one that makes a qube has it as its model */
    case QG_STEP_NOTES_SET:
    case QG_STEP_VOLUME_CLONE:
    case QG_STEP_RECORD_BEGIN:
    case QG_STEP_RECORD_UUID:
    case QG_STEP_RECORD_END:
        break;
    }
    return 0;
}

char *qg_step_describe(const struct qg_step *step, struct qg_err *err) {
    const char *device = qg_value_get_text(json_object_get(step->extra, "device"), "port_id");
    const char *detail = step->value ? step->value : device;
    char *text = qg_text_format("%s%s%s%s%s on %s", kind_names[step->kind], step->name ? " " : "",
                                step->name ? step->name : "", detail ? " " : "",
                                detail ? detail : "", step->qube);
    if (!text)
        qg_err_oom(err);
    return text;
}

static json_t *step_value(const struct qg_step *step, struct qg_err *err) {
    QG_AUTO(json) json_t *out = qg_value_object(err);
    QG_AUTO_STR char *text = qg_step_describe(step, err);
    if (!out || !text)
        return NULL;
    const char *const pairs[][2] = {{"do", kind_names[step->kind]},
                                    {"qube", step->qube},
                                    {"name", step->name},
                                    {"value", step->value},
                                    {"text", text}};
    for (size_t i = 0; i < QG_ARRAY_LEN(pairs); i++)
        if (pairs[i][1] &&
            qg_value_set_take(out, pairs[i][0], qg_value_text(pairs[i][1], err), err) < 0)
            return NULL;
    return QG_STEAL(out);
}

json_t *qg_plan_value(const struct qg_plan *plan, struct qg_err *err) {
    QG_AUTO(json) json_t *out = qg_value_array(err);
    for (size_t i = 0; out && i < plan->count; i++)
        if (qg_value_append_take(out, step_value(&plan->steps[i], err), err) < 0)
            return NULL;
    return QG_STEAL(out);
}
