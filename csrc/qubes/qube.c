/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "qubes/qube.h"

#include "base/text.h"
#include "wire/lines.h"
#include "wire/name.h"

#include <stdlib.h>
#include <string.h>

int qg_qube_init(struct qg_qube *qube, const char *name, struct qg_err *err) {
    *qube = (struct qg_qube){.name = strdup(name),
                             .features = json_object(),
                             .devices = json_object(),
                             .volumes = json_object()};
    bool whole = qube->name && qube->features && qube->devices && qube->volumes;
    return whole ? 0 : qg_err_oom(err);
}

void qg_qube_fini(struct qg_qube *qube) {
    free(qube->name);
    free(qube->power);
    free(qube->notes);
    qg_properties_fini(&qube->properties);
    json_decref(qube->features);
    json_decref(qube->tags);
    json_decref(qube->devices);
    json_decref(qube->firewall);
    json_decref(qube->volumes);
    *qube = (struct qg_qube){0};
}

/* A copy of a value that may be NULL; *failed says that memory ran out. */
static json_t *copy_value(const json_t *value, bool *failed) {
    json_t *copy = qg_value_copy(value, NULL);
    *failed = *failed || (value && !copy);
    return copy;
}

static char *copy_text(const char *text, bool *failed) {
    char *copy = text ? strdup(text) : NULL;
    *failed = *failed || (text && !copy);
    return copy;
}

int qg_qube_copy(const struct qg_qube *from, struct qg_qube *to, struct qg_err *err) {
    bool failed = false;
    *to = (struct qg_qube){
        .name = copy_text(from->name, &failed),
        .known = from->known,
        .exists = from->exists,
        .power = copy_text(from->power, &failed),
        .features = copy_value(from->features, &failed),
        .all_features = from->all_features,
        .tags = copy_value(from->tags, &failed),
        .devices = copy_value(from->devices, &failed),
        .firewall = copy_value(from->firewall, &failed),
        .notes = copy_text(from->notes, &failed),
        .volumes = copy_value(from->volumes, &failed),
    };
    return failed ? qg_err_oom(err) : qg_properties_copy(&from->properties, &to->properties, err);
}

const char *qg_qube_class(const struct qg_qube *qube) {
    return qg_properties_value(&qube->properties, "klass");
}

bool qg_qube_is_on(const struct qg_qube *qube, const char *property) {
    return qg_property_equal("", QG_PROPERTY_BOOL, qg_properties_value(&qube->properties, property),
                             "True");
}

const char *qg_qube_feature(const struct qg_qube *qube, const char *name) {
    return json_string_value(json_object_get(qube->features, name));
}

json_t *qg_qube_assignments(const struct qg_qube *qube, const char *devclass) {
    return json_object_get(qube->devices, devclass);
}

bool qg_qube_has_tag(const struct qg_qube *qube, const char *tag) {
    return json_object_get(qube->tags, tag) != NULL;
}

/* What a call's answer is for. */
typedef int take_answer(struct qg_qube *qube, const struct qg_call *call, struct qg_err *err);

static int take_properties(struct qg_qube *qube, const struct qg_call *call, struct qg_err *err) {
    return qg_properties_parse(call->data, call->data_length, &qube->properties, err);
}

static int take_power(struct qg_qube *qube, const struct qg_call *call, struct qg_err *err) {
    QG_AUTO(json) json_t *qubes = qg_lines_qubes(call->data, call->data_length, err);
    const char *state = qg_value_get_text(json_array_get(qubes, 0), "state");
    if (!qubes)
        return -1;
    if (!state)
        return qg_err_set(err, QG_ERR_PROTOCOL, "an answer without a power state");
    qube->power = strdup(state);
    return qube->power ? 0 : qg_err_oom(err);
}

/* Device lines under the class in the method's name, admin.vm.device.CLASS.Assigned. */
static int take_assigned(struct qg_qube *qube, const struct qg_call *call, struct qg_err *err) {
    const char *class = call->request.method + strlen("admin.vm.device.");
    QG_AUTO_STR char *name = strndup(class, (size_t)(strchr(class, '.') - class));
    if (!name)
        return qg_err_oom(err);
    json_t *devices = qg_lines_devices(call->data, call->data_length, err);
    return devices ? qg_value_set_take(qube->devices, name, devices, err) : -1;
}

static json_t *answer_text(const struct qg_call *call, struct qg_err *err) {
    if (!qg_text_is_utf8(call->data, call->data_length)) {
        qg_err_set(err, QG_ERR_PROTOCOL, "an answer that is not UTF-8 text");
        return NULL;
    }
    return qg_value_text(call->data, err); /* the reply's buffer ends with a NUL */
}

static int take_feature(struct qg_qube *qube, const struct qg_call *call, struct qg_err *err) {
    json_t *text = answer_text(call, err);
    return text ? qg_value_set_take(qube->features, call->request.arg, text, err) : -1;
}

/* Every name with a null for now; the second round asks for the texts. */
static int take_feature_names(struct qg_qube *qube, const struct qg_call *call,
                              struct qg_err *err) {
    QG_AUTO(json) json_t *names = qg_lines_names(call->data, call->data_length, err);
    if (!names)
        return -1;
    size_t i;
    json_t *name;
    json_array_foreach(names, i, name) {
        if (!qg_qube_feature(qube, json_string_value(name)) &&
            qg_value_set_take(qube->features, json_string_value(name), json_null(), err) < 0)
            return -1;
    }
    qube->all_features = true;
    return 0;
}

static int take_tags(struct qg_qube *qube, const struct qg_call *call, struct qg_err *err) {
    QG_AUTO(json) json_t *names = qg_lines_names(call->data, call->data_length, err);
    QG_AUTO(json) json_t *tags = qg_value_object(err);
    if (!names || !tags)
        return -1;
    size_t i;
    json_t *name;
    json_array_foreach(names, i, name) {
        if (qg_value_set_take(tags, json_string_value(name), json_true(), err) < 0)
            return -1;
    }
    qube->tags = QG_STEAL(tags);
    return 0;
}

static int take_firewall(struct qg_qube *qube, const struct qg_call *call, struct qg_err *err) {
    qube->firewall = qg_lines_names(call->data, call->data_length, err);
    return qube->firewall ? 0 : -1;
}

static int take_notes(struct qg_qube *qube, const struct qg_call *call, struct qg_err *err) {
    qube->notes = strndup(call->data, call->data_length);
    return qube->notes ? 0 : qg_err_oom(err);
}

static int take_volume(struct qg_qube *qube, const struct qg_call *call, struct qg_err *err) {
    json_t *info = qg_lines_pairs(call->data, call->data_length, err);
    return info ? qg_value_set_take(qube->volumes, call->request.arg, info, err) : -1;
}

static const struct {
    const char *method;
    take_answer *take;
} readings[] = {
    {"admin.vm.property.GetAll", take_properties},
    {"admin.vm.List", take_power},
    {"admin.vm.feature.List", take_feature_names},
    {"admin.vm.feature.Get", take_feature},
    {"admin.vm.tag.List", take_tags},
    {"admin.vm.firewall.Get", take_firewall},
    {"admin.vm.notes.Get", take_notes},
    {"admin.vm.volume.Info", take_volume},
};

static take_answer *taker_of(const char *method) {
    for (size_t i = 0; i < QG_ARRAY_LEN(readings); i++)
        if (strcmp(readings[i].method, method) == 0)
            return readings[i].take;
    return take_assigned;
}

/* The mapping that lacks what was asked for, where the failure says just that; NULL for another
 * failure. */
static json_t *missing_part(const struct qg_qube *qube, const struct qg_call *call) {
    if (qg_err_is_qubesd(&call->err, "QubesFeatureNotFoundError"))
        return qube->features;
    /* what qubesd calls a volume that the qube does not have (recorded) */
    bool volume = strcmp(call->request.method, "admin.vm.volume.Info") == 0;
    return volume && qg_err_is_qubesd(&call->err, "PermissionDenied") ? qube->volumes : NULL;
}

/* A call's answer into the qube. A failure that says something about the qube is knowledge, too. */
static int take(struct qg_qube *qube, const struct qg_call *call, struct qg_err *err) {
    if (call->err.kind == QG_ERR_NONE) {
        qube->known = qube->exists = true;
        struct qg_err problem = {0};
        if (taker_of(call->request.method)(qube, call, &problem) == 0)
            return 0;
        qg_err_at(&problem, "%s on %s", call->request.method, call->request.dest);
        if (err && err->kind == QG_ERR_NONE)
            *err = problem;
        return -1;
    }
    if (qg_err_is_qubesd(&call->err, "QubesVMNotFoundError")) {
        qube->known = true;
        qube->exists = false;
        return 0;
    }
    json_t *missing_from = missing_part(qube, call);
    if (missing_from) { /* the qube is there, the part of it is not */
        qube->known = qube->exists = true;
        return qg_value_set_take(missing_from, call->request.arg, json_null(), err);
    }
    if (qg_err_is_qubesd(&call->err, "ProtocolError") &&
        taker_of(call->request.method) == take_assigned) {
        const char *class = call->request.method + strlen("admin.vm.device.");
        return qg_err_set(err, QG_ERR_INVALID,
                          "devices: '%.*s' is no device class of this qubesd (pci, usb, block, mic "
                          "and others, as far as they are installed)",
                          (int)strcspn(class, "."), class);
    }
    if (err && err->kind == QG_ERR_NONE)
        *err = call->err;
    return -1;
}

static bool has_names(const json_t *mapping, const json_t *names, size_t count) {
    for (size_t i = 0; i < count; i++)
        if (!json_object_get(mapping, json_string_value(json_array_get(names, i))))
            return false;
    return true;
}

bool qg_qube_knows(const struct qg_qube *qube, const struct qg_want *want, size_t features,
                   size_t classes, size_t volumes) {
    /* of a list of all features the texts are known later than the names */
    bool whole = (qube->properties.count || !want->properties) && (qube->power || !want->power) &&
                 !want->all_features && (qube->tags || !want->tags) &&
                 (qube->firewall || !want->firewall) && (qube->notes || !want->notes);
    return whole && has_names(qube->features, want->features, features) &&
           has_names(qube->devices, want->classes, classes) &&
           has_names(qube->volumes, want->volumes, volumes);
}

/* Where the answers of a round go, and the first thing that went wrong with one. */
struct taking {
    struct qg_qube *qube;
    const struct qg_want *want;
    struct qg_err err;
};

/* An answer is read while the others are still on their way. */
static void take_landed(struct qg_call *call, void *owner) {
    struct taking *taking = owner;
    bool missing =
        taking->qube->known && !taking->qube->exists; /* nothing else can be known of it */
    if (missing)
        return;
    take(taking->qube, call, &taking->err);
    if (taking->want->more && taking->err.kind == QG_ERR_NONE)
        taking->want->more(taking->want->owner);
}

/* Runs the calls from `from` on; those added for this qube, from `own` on, are read as they land.
 */
static int run_round(struct qg_qube *qube, const struct qg_want *want, struct qg_batch *batch,
                     size_t from, size_t own, const struct qg_client *client, struct qg_err *err) {
    struct taking taking = {.qube = qube, .want = want};
    for (size_t i = own; i < batch->count; i++) {
        batch->calls[i].landed = take_landed;
        batch->calls[i].owner = &taking;
    }
    if (qg_batch_run(batch, from, client, err) < 0)
        return -1;
    if (taking.err.kind != QG_ERR_NONE && !(qube->known && !qube->exists)) {
        if (err && err->kind == QG_ERR_NONE)
            *err = taking.err;
        return -1;
    }
    return 0;
}

static int add_devices(struct qg_qube *qube, const struct qg_want *want, struct qg_batch *batch,
                       struct qg_err *err) {
    size_t i;
    json_t *item;
    json_array_foreach(qg_value_mutable(want->classes), i, item) {
        const char *class = json_string_value(item);
        if (!json_object_get(qube->devices, class) &&
            qg_batch_add_device(batch, class, "Assigned", qube->name, err) < 0)
            return -1;
    }
    return 0;
}

static int add_features(struct qg_qube *qube, const struct qg_want *want, struct qg_batch *batch,
                        struct qg_err *err) {
    size_t i;
    json_t *item;
    if (want->all_features && !qube->all_features)
        return qg_batch_add(batch, "admin.vm.feature.List", NULL, qube->name, err);
    json_array_foreach(qg_value_mutable(want->features), i, item) {
        const char *name = json_string_value(item);
        if (qube->all_features || json_object_get(qube->features, name))
            continue;
        if (qg_name_check_argument("features", name, err) < 0 ||
            qg_batch_add(batch, "admin.vm.feature.Get", name, qube->name, err) < 0)
            return -1;
    }
    return 0;
}

static int add_volumes(struct qg_qube *qube, const struct qg_want *want, struct qg_batch *batch,
                       struct qg_err *err) {
    size_t i;
    json_t *item;
    json_array_foreach(qg_value_mutable(want->volumes), i, item) {
        const char *name = json_string_value(item);
        if (!json_object_get(qube->volumes, name) &&
            qg_batch_add(batch, "admin.vm.volume.Info", name, qube->name, err) < 0)
            return -1;
    }
    return 0;
}

static int add_first_round(struct qg_qube *qube, const struct qg_want *want, struct qg_batch *batch,
                           struct qg_err *err) {
    const struct {
        bool wanted;
        const char *method;
    } simple[] = {
        {want->properties && qube->properties.count == 0, "admin.vm.property.GetAll"},
        {want->power && !qube->power, "admin.vm.List"},
        {want->tags && !qube->tags, "admin.vm.tag.List"},
        {want->firewall && !qube->firewall, "admin.vm.firewall.Get"},
        {want->notes && !qube->notes, "admin.vm.notes.Get"},
    };
    for (size_t i = 0; i < QG_ARRAY_LEN(simple); i++)
        if (simple[i].wanted && qg_batch_add(batch, simple[i].method, NULL, qube->name, err) < 0)
            return -1;
    /* what takes longest to read comes first: it is read while the rest is on its way */
    if (add_devices(qube, want, batch, err) < 0 || add_volumes(qube, want, batch, err) < 0)
        return -1;
    return add_features(qube, want, batch, err);
}

/* Texts of the features that the first round listed. */
static int add_second_round(struct qg_qube *qube, const struct qg_want *want,
                            struct qg_batch *batch, struct qg_err *err) {
    const char *name;
    json_t *value;
    if (want->all_features) {
        json_object_foreach(qube->features, name, value) {
            if (json_is_null(value) &&
                qg_batch_add(batch, "admin.vm.feature.Get", name, qube->name, err) < 0)
                return -1;
        }
    }
    return 0;
}

int qg_qube_observe(struct qg_qube *qube, const struct qg_want *want,
                    const struct qg_client *client, struct qg_batch *extra, struct qg_err *err) {
    QG_AUTO(batch) struct qg_batch own = {0};
    struct qg_batch *batch = extra ? extra : &own;
    size_t first = batch->count;
    if (!(qube->known && !qube->exists) && add_first_round(qube, want, batch, err) < 0)
        return -1;
    if (run_round(qube, want, batch, 0, first, client, err) < 0)
        return -1;
    if (!qube->exists)
        return 0;
    size_t second = batch->count;
    if (add_second_round(qube, want, batch, err) < 0)
        return -1;
    return batch->count == second ? 0 : run_round(qube, want, batch, second, second, client, err);
}
