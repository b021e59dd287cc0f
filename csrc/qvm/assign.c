/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "qvm/assign.h"

#include "base/text.h"
#include "qubes/device.h"

#include <string.h>

static const char mode_required[] = "required";

int qg_assign_warn_taken(struct qg_job *job, const json_t *device, struct qg_err *err) {
    const char *port = qg_value_get_text(device, "port_id");
    const char *other = qg_run_assigned_to(job->run, port);
    const char *attached = qg_value_get_text(device, "attachment");
    if (other && strcmp(other, job->name) != 0 &&
        qg_job_warn(
            job, err,
            "Device %s is also assigned to %s by this run: only one of them can run at a time.",
            port, other) < 0)
        return -1;
    if (attached && *attached && strcmp(attached, job->name) != 0 && strcmp(attached, "None") != 0)
        return qg_job_warn(job, err, "Device %s is attached to %s now.", port, attached);
    return 0;
}

/* Lists the devices that there are, for somebody who named another. */
static int fail_not_there(const char *key, const char *text, const json_t *available,
                          struct qg_err *err) {
    QG_AUTO(buf) struct qg_buf known = {0};
    size_t i;
    json_t *device;
    json_array_foreach(qg_value_mutable(available), i, device) {
        char bdf[16];
        if (qg_buf_printf(&known, err, "%s%s", i ? ", " : "",
                          qg_device_bdf(device, bdf) ? bdf : qg_value_get_text(device, "port_id")) <
            0)
            return -1;
    }
    return qg_err_set(err, QG_ERR_INVALID, "%s: dom0 has no PCI device %s; it has %s", key, text,
                      known.length ? known.data : "none");
}

const json_t *qg_assign_resolve(struct qg_job *job, const char *key, const char *text,
                                struct qg_err *err) {
    struct qg_device_ref ref;
    if (qg_device_ref_parse(text, &ref, err) < 0)
        return NULL;
    for (int refresh = 0; refresh < 2; refresh++) {
        const json_t *available = qg_run_pci(job->run, refresh, err);
        struct qg_err problem = {0};
        const json_t *found = available ? qg_device_find(available, &ref, &problem) : NULL;
        if (found)
            return found;
        if (!available || (problem.kind != QG_ERR_NONE && refresh)) {
            if (available && err && err->kind == QG_ERR_NONE)
                *err = problem;
            return NULL;
        }
    }
    fail_not_there(key, text, qg_run_pci(job->run, false, err), err);
    return NULL;
}

char *qg_assign_options_text(const char *mode, const json_t *options, struct qg_err *err) {
    QG_AUTO(buf) struct qg_buf out = {0};
    const char *name;
    json_t *value;
    if (qg_buf_puts(&out, "(", err) < 0)
        return NULL;
    if (mode && strcmp(mode, mode_required) != 0 && qg_buf_printf(&out, err, "mode=%s", mode) < 0)
        return NULL;
    json_object_foreach(qg_value_mutable(options), name, value) {
        if (qg_buf_printf(&out, err, "%s%s=%s", out.length > 1 ? ", " : "", name,
                          json_string_value(value)) < 0)
            return NULL;
    }
    return qg_buf_puts(&out, ")", err) < 0 ? NULL : qg_buf_steal(&out, err);
}

char *qg_assign_text(const json_t *assignment, struct qg_err *err) {
    QG_AUTO(json) json_t *options = qg_device_options(assignment, err);
    return options ? qg_assign_options_text(qg_value_get_text(assignment, "mode"), options, err)
                   : NULL;
}

/* The ports of the qube's assignments, a new list; with the options of those that have any. */
static json_t *ports_of(const struct qg_qube *qube, bool options, struct qg_err *err) {
    QG_AUTO(json) json_t *ports = qg_value_array(err);
    size_t i;
    json_t *assignment;
    json_array_foreach(qg_qube_assignments(qube, "pci"), i, assignment) {
        QG_AUTO_STR char *text = ports ? qg_assign_text(assignment, err) : NULL;
        bool plain = !options || (text && strcmp(text, "()") == 0);
        if (!text || qg_value_append_take(ports,
                                          qg_value_format(err, "%s%s%s",
                                                          qg_value_get_text(assignment, "port_id"),
                                                          plain ? "" : " ", plain ? "" : text),
                                          err) < 0)
            return NULL;
    }
    return QG_STEAL(ports);
}

/* Notes the change of the step that was just planned: the ports before and after it. */
static int note_ports(struct qg_job *job, struct qg_block *block, const struct qg_assign *how,
                      const json_t *before, struct qg_err *err) {
    struct qg_step *step = &job->plan.steps[job->plan.count - 1];
    QG_AUTO(json) json_t *path = qg_value_array(err);
    QG_AUTO(json) json_t *after = ports_of(&job->qube, how->again, err);
    if (!path || !after ||
        qg_value_append_take(path, qg_value_format(err, "qvm.%s", block->action->name), err) < 0 ||
        qg_value_append_take(path, qg_value_text(how->key, err), err) < 0)
        return -1;
    return qg_step_change_take(step, QG_STEAL(path), json_incref(qg_value_mutable(before)),
                               QG_STEAL(after), err);
}

struct qg_step *qg_assign_drop(struct qg_job *job, const char *devclass, const json_t *assignment,
                               struct qg_err *err) {
    QG_AUTO(json) json_t *extra = qg_value_object(err);
    if (!extra ||
        qg_value_set_take(extra, "device", json_incref(qg_value_mutable(assignment)), err) < 0)
        return NULL;
    return qg_plan_add(&job->plan, QG_STEP_UNASSIGN, &job->qube, devclass, NULL, QG_STEAL(extra),
                       err);
}

int qg_assign_check_class(const struct qg_qube *qube, bool no_template, struct qg_err *err) {
    const char *klass = strcmp(qube->name, "dom0") == 0 ? "AdminVM" : qg_qube_class(qube);
    bool refused =
        strcmp(klass, "AdminVM") == 0 || (no_template && strcmp(klass, "TemplateVM") == 0);
    return refused ? qg_err_set(err, QG_ERR_INVALID,
                                "%s is of class %s, which is given no PCI devices: name a "
                                "StandaloneVM, AppVM or DispVM",
                                qube->name, klass)
                   : 0;
}

int qg_assign_check_mode(const struct qg_qube *qube, struct qg_err *err) {
    const struct qg_property *mode = qg_properties_find(&qube->properties, "virt_mode");
    return mode && !mode->is_default && strcmp(mode->value, "pvh") == 0
               ? qg_err_set(err, QG_ERR_INVALID,
                            "virt_mode of %s is pvh, which has no PCI devices: set virt_mode: hvm "
                            "in the same state or before it",
                            qube->name)
               : 0;
}

/* Prefs of this state that set virt_mode compare it with the devices themselves. */
static bool sets_mode(const struct qg_job *job) {
    for (size_t i = 0; i < job->count; i++) {
        const struct qg_block *block = &job->blocks[i];
        if (block->action == &qg_action_prefs && (json_object_get(block->body.keys, "virt_mode") ||
                                                  json_object_get(block->body.keys, "virt-mode")))
            return true;
    }
    return false;
}

/* The qube that a PCI device is to be assigned to. */
static int check_qube(struct qg_job *job, struct qg_err *err) {
    const struct qg_want want = {.properties = true};
    if (qg_assign_check_class(&job->qube, false, err) < 0)
        return -1;
    if (sets_mode(job))
        return 0;
    if (job->qube.properties.count == 0) { /* apart, so that nothing planned here is lost */
        QG_AUTO(qube) struct qg_qube qube = {0};
        if (qg_run_observe(job->run, job->name, &want, false, job->test, &qube, err) < 0)
            return -1;
        job->qube.properties = qube.properties;
        qube.properties = (struct qg_properties){0};
    }
    return qg_assign_check_mode(&job->qube, err);
}

struct qg_step *qg_assign_add(struct qg_job *job, const char *devclass, const char *mode,
                              const json_t *device, const json_t *options, struct qg_err *err) {
    QG_AUTO(json) json_t *extra = qg_value_object(err);
    if (!extra || (strcmp(devclass, "pci") == 0 && check_qube(job, err) < 0) ||
        (options &&
         qg_value_set_take(extra, "options", json_incref(qg_value_mutable(options)), err) < 0) ||
        qg_value_set_take(extra, "device", qg_value_copy(device, err), err) < 0)
        return NULL;
    return qg_plan_add(&job->plan, QG_STEP_ASSIGN, &job->qube, devclass, mode, QG_STEAL(extra),
                       err);
}

/* Before the first step of a block, the ports that there are. */
static int keep_ports(const struct qg_job *job, const struct qg_assign *how, json_t **before,
                      struct qg_err *err) {
    if (!*before)
        *before = ports_of(&job->qube, how->again, err);
    return *before ? 0 : -1;
}

static int unassign(struct qg_job *job, struct qg_block *block, const struct qg_assign *how,
                    const json_t *assignment, json_t **before, struct qg_err *err) {
    if (keep_ports(job, how, before, err) < 0 || !qg_assign_drop(job, "pci", assignment, err))
        return -1;
    return note_ports(job, block, how, *before, err);
}

static int assign(struct qg_job *job, struct qg_block *block, const struct qg_assign *how,
                  const json_t *device, json_t *options, json_t **before, struct qg_err *err) {
    if (keep_ports(job, how, before, err) < 0 ||
        !qg_assign_add(job, "pci", mode_required, device, options, err))
        return -1;
    return note_ports(job, block, how, *before, err);
}

const json_t *qg_assign_find(const struct qg_qube *qube, const char *devclass,
                             const json_t *device) {
    size_t i;
    json_t *assignment;
    json_array_foreach(qg_qube_assignments(qube, devclass), i, assignment) {
        if (qg_device_same(assignment, device))
            return assignment;
    }
    return NULL;
}

const json_t *qg_assign_find_stale(const struct qg_qube *qube, const char *devclass,
                                   const json_t *device) {
    const char *port = qg_value_get_text(device, "port_id");
    const char *backend = qg_value_get_text(device, "backend_domain");
    size_t i;
    json_t *assignment;
    json_array_foreach(qg_qube_assignments(qube, devclass), i, assignment) {
        const char *other = qg_value_get_text(assignment, "backend_domain");
        if (strcmp(qg_value_get_text(assignment, "port_id"), port) == 0 &&
            strcmp(other ? other : "dom0", backend ? backend : "dom0") == 0 &&
            !qg_device_same(assignment, device))
            return assignment;
    }
    return NULL;
}

static int set_switch(json_t *options, const char *name, enum qg_switch wanted,
                      struct qg_err *err) {
    if (wanted == QG_SWITCH_OFF)
        json_object_del(options, name);
    return wanted == QG_SWITCH_ON
               ? qg_value_set_take(options, name, qg_value_text("True", err), err)
               : 0;
}

/* The options that an assignment with those should have: a reference, NULL on failure. */
static json_t *wanted_options(json_t *now, const struct qg_assign *how, struct qg_err *err) {
    if (how->no_strict_reset == QG_SWITCH_AS_IS && how->permissive == QG_SWITCH_AS_IS)
        return json_incref(now);
    QG_AUTO(json) json_t *options = qg_value_copy(now, err);
    if (!options) {
        qg_err_oom(err);
        return NULL;
    }
    if (set_switch(options, "no-strict-reset", how->no_strict_reset, err) < 0 ||
        set_switch(options, "permissive", how->permissive, err) < 0)
        return NULL;
    return QG_STEAL(options);
}

static bool is_required(const json_t *assignment) {
    const char *mode = qg_value_get_text(assignment, "mode");
    return mode && strcmp(mode, mode_required) == 0;
}

/* qubesd would keep the assignment of what was at this port before, and the qube could not start.
 */
static int drop_stale(struct qg_job *job, struct qg_block *block, const struct qg_assign *how,
                      const json_t *device, json_t **before, struct qg_err *err) {
    const json_t *stale = qg_assign_find_stale(&job->qube, "pci", device);
    if (!stale)
        return 0;
    if (qg_block_say(block, err, "%-19s: - %s, which was %s", how->key,
                     qg_value_get_text(device, "port_id"),
                     qg_value_get_text(stale, "device_id")) < 0)
        return -1;
    return unassign(job, block, how, stale, before, err);
}

/* The options that the device's assignment should have, a reference; *same: it is as it should be.
 * NULL on failure. */
static json_t *compare(const struct qg_assign *how, const json_t *assignment, bool *same,
                       struct qg_err *err) {
    QG_AUTO(json) json_t *now = qg_device_options(assignment, err);
    QG_AUTO(json) json_t *options = now ? wanted_options(now, how, err) : NULL;
    *same = options && is_required(assignment) && json_equal(now, options);
    return QG_STEAL(options);
}

/* `+ PORT`, or which options the port's assignment gets in place of which. */
static int say_device(struct qg_block *block, const struct qg_assign *how, const char *port,
                      const json_t *old, const json_t *options, struct qg_err *err) {
    if (!old)
        return qg_block_say(block, err, "%-19s: + %s", how->key, port);
    QG_AUTO_STR char *before = qg_assign_text(old, err);
    QG_AUTO_STR char *after = qg_assign_options_text(mode_required, options, err);
    return before && after
               ? qg_block_say(block, err, "%-19s: again with other options: %s %s -> %s", how->key,
                              port, before, after)
               : -1;
}

static int plan_device(struct qg_job *job, struct qg_block *block, const struct qg_assign *how,
                       const json_t *device, json_t **before, struct qg_err *err) {
    const char *port = qg_value_get_text(device, "port_id");
    QG_AUTO(json)
    json_t *old = json_incref(qg_value_mutable(qg_assign_find(&job->qube, "pci", device)));
    bool same;
    QG_AUTO(json) json_t *options = compare(how, old, &same, err);
    if (!options)
        return -1;
    if (same)
        return qg_block_skip(block, how->key, port, err);
    if (qg_assign_warn_taken(job, device, err) < 0 ||
        drop_stale(job, block, how, device, before, err) < 0 ||
        say_device(block, how, port, old, options, err) < 0 ||
        (old && unassign(job, block, how, old, before, err) < 0))
        return -1;
    return assign(job, block, how, device, options, before, err);
}

/* Takes away what is assigned and not among wanted. */
static int plan_exact(struct qg_job *job, struct qg_block *block, const struct qg_assign *how,
                      const json_t *wanted, json_t **before, struct qg_err *err) {
    const json_t *assigned = qg_qube_assignments(&job->qube, "pci");
    QG_AUTO(json) json_t *now = qg_value_copy(assigned, err);
    if (assigned && !now)
        return -1;
    size_t i, j;
    json_t *assignment, *device;
    json_array_foreach(now, i, assignment) {
        bool keep = false;
        json_array_foreach(qg_value_mutable(wanted), j, device) {
            keep = keep || qg_device_same(assignment, device);
        }
        if (!keep && (qg_block_say(block, err, "%-19s: - %s", how->key,
                                   qg_value_get_text(assignment, "port_id")) < 0 ||
                      unassign(job, block, how, assignment, before, err) < 0))
            return -1;
    }
    return 0;
}

int qg_assign_plan(struct qg_job *job, struct qg_block *block, const json_t *refs,
                   const struct qg_assign *asked, struct qg_err *err) {
    struct qg_assign copy = *asked, *how = &copy;
    QG_AUTO(json) json_t *devices = qg_value_array(err);
    QG_AUTO(json) json_t *before = NULL;
    if (!devices)
        return -1;
    size_t i;
    json_t *item;
    json_array_foreach(qg_value_mutable(refs), i, item) {
        const json_t *device = qg_assign_resolve(job, how->key, json_string_value(item), err);
        if (!device ||
            qg_value_append_take(devices, json_incref(qg_value_mutable(device)), err) < 0)
            return -1;
        const json_t *assignment = qg_assign_find(&job->qube, "pci", device);
        bool same;
        QG_AUTO(json) json_t *options = compare(how, assignment, &same, err);
        if (!options)
            return -1;
        how->again = how->again || (assignment && !same);
    }
    if (how->exact && plan_exact(job, block, how, devices, &before, err) < 0)
        return -1;
    json_array_foreach(devices, i, item) {
        if (plan_device(job, block, how, item, &before, err) < 0)
            return -1;
    }
    return 0;
}

static int refuse_numbers(const char *key, const json_t *devices, struct qg_err *err) {
    size_t i;
    json_t *item;
    json_array_foreach(qg_value_mutable(devices), i, item) {
        if (json_is_number(item))
            return qg_err_set(
                err, QG_ERR_INVALID,
                "%s: %g is a number: write the device in quotes, YAML reads a bare 01:00.0 as one",
                key, json_number_value(item));
    }
    return 0;
}

json_t *qg_assign_refs(struct qg_body *body, const char *key, struct qg_err *err) {
    const json_t *value;
    return qg_body_find(body, key, &value, err) < 0 || refuse_numbers(key, value, err) < 0
               ? NULL
               : qg_body_names(body, key, err);
}

int qg_assign_pcidevs(struct qg_job *job, struct qg_block *block, struct qg_err *err) {
    struct qg_body *body = &block->body;
    const json_t *devices, *reset;
    QG_AUTO(json) json_t *refs = qg_assign_refs(body, "pcidevs", err);
    bool exact, strict;
    if (!refs || qg_body_find(body, "pcidevs", &devices, err) < 0 ||
        qg_body_find(body, "pci_strictreset", &reset, err) < 0 ||
        qg_body_bool(body, "exact", false, &exact, err) < 0 ||
        qg_body_bool(body, "pci_strictreset", true, &strict, err) < 0)
        return -1;
    bool with_devices = devices != NULL;
    bool with_reset = reset != NULL;
    if (with_reset && !with_devices)
        return qg_err_set(
            err, QG_ERR_INVALID,
            "pci_strictreset: works only together with pcidevs, name the devices too");
    const struct qg_assign how = {.key = "pcidevs",
                                  .exact = exact,
                                  .no_strict_reset = !with_reset ? QG_SWITCH_AS_IS
                                                     : strict    ? QG_SWITCH_OFF
                                                                 : QG_SWITCH_ON};
    return with_devices ? qg_assign_plan(job, block, refs, &how, err) : 0;
}
