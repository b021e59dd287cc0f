/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Devices of every class: attach, detach, list. */
#include "base/text.h"
#include "qubes/device.h"
#include "qvm/assign.h"
#include "wire/lines.h"
#include "wire/name.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

static const char *const keys[] = {"attach", "detach", "list", NULL};
static const char *const modes[] = {"required", "auto-attach", "ask-to-attach", NULL};
static const char pci[] = "pci", dom0[] = "dom0", attach_verb[] = "attach",
                  detach_verb[] = "detach";

enum { CLASS_MAX = 31 };

/* A device as somebody wrote it: CLASS:BACKEND:PORT, and what is asked of it. */
struct wish {
    const char *text; /* as it was written; borrowed */
    const char *rest; /* of it, behind CLASS:BACKEND: */
    char class[CLASS_MAX + 1], backend[QG_QUBE_NAME_MAX + 1];
    struct qg_device_ref ref;
    json_t *options;  /* name > text */
    const char *mode; /* NULL: not given */
};

static void wish_fini(struct wish *wish) {
    json_decref(wish->options);
}

QG_DEFINE_AUTO_FINI(wish, struct wish, wish_fini)

static bool is_pci_of_dom0(const struct wish *wish) {
    return strcmp(wish->class, pci) == 0 && strcmp(wish->backend, dom0) == 0;
}

/* ---- what was written ---- */

static int fail_item(const json_t *item, struct qg_err *err) {
    QG_AUTO_STR char *text = qg_value_dump(item, err);
    return text ? qg_err_set(err, QG_ERR_INVALID,
                             "devices: CLASS:BACKEND:PORT is expected (pci:dom0:01_00.0), alone or "
                             "with a list of options behind it, not the %s %.200s",
                             qg_value_type_name(item), text)
                : -1;
}

/* Takes `word:` off the front into out. */
static bool take_part(const char **at, char *out, size_t size) {
    size_t length = strcspn(*at, ":");
    if (length == 0 || length >= size || (*at)[length] != ':')
        return false;
    memcpy(out, *at, length);
    out[length] = '\0';
    *at += length + 1;
    return true;
}

static int parse_name(const char *text, struct wish *wish, struct qg_err *err) {
    struct qg_err ignored = {0};
    *wish = (struct wish){.text = text, .rest = text};
    if (!take_part(&wish->rest, wish->class, sizeof(wish->class)) ||
        !take_part(&wish->rest, wish->backend, sizeof(wish->backend)) ||
        qg_name_check_qube(wish->backend, &ignored) < 0)
        return qg_err_set(err, QG_ERR_INVALID,
                          "devices: '%.120s' is not CLASS:BACKEND:PORT, e.g. pci:dom0:01_00.0",
                          text);
    return qg_device_ref_parse(wish->rest, &wish->ref, err);
}

/* pciback takes any text of these two for on. */
static bool means_off(const struct wish *wish, const json_t *value) {
    const char *text = json_string_value(value);
    return json_is_null(value) || json_is_false(value) ||
           (text && strcmp(wish->class, pci) == 0 && strcasecmp(text, "false") == 0);
}

static int set_mode(struct wish *wish, const json_t *value, struct qg_err *err) {
    const char *text = json_string_value(value);
    for (const char *const *mode = modes; text && *mode; mode++)
        if (strcmp(*mode, text) == 0) {
            wish->mode = *mode;
            return 0;
        }
    return qg_err_set(err, QG_ERR_INVALID,
                      "devices: %.120s: mode is required, auto-attach or ask-to-attach, not %s",
                      wish->text, text ? text : qg_value_type_name(value));
}

static int set_option(struct wish *wish, const char *name, const json_t *value,
                      struct qg_err *err) {
    if (strcmp(name, "mode") == 0)
        return set_mode(wish, value, err);
    if (!*name ||
        strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_") !=
            strlen(name))
        return qg_err_set(err, QG_ERR_INVALID, "devices: %.120s: '%.60s' is no option", wish->text,
                          name);
    if (means_off(wish, value))
        return 0;
    if (json_is_object(value) || json_is_array(value))
        return qg_err_set(err, QG_ERR_INVALID,
                          "devices: %.120s: %s: one value is expected, not a %s", wish->text, name,
                          qg_value_type_name(value));
    QG_AUTO_STR char *text = qg_value_to_text(value, err);
    if (!text)
        return -1;
    for (const char *at = text; *at; at++)
        if (*at < ' ' || *at > '~' || *at == '\\')
            return qg_err_set(err, QG_ERR_INVALID,
                              "devices: %.120s: %s: printable ASCII without a backslash is "
                              "expected, not '%.60s'",
                              wish->text, name, text);
    return qg_value_set_take(wish->options, name, qg_value_text(text, err), err);
}

static int set_pairs(struct wish *wish, const json_t *pairs, struct qg_err *err) {
    const char *name;
    json_t *value;
    json_object_foreach(qg_value_mutable(pairs), name, value) {
        if (set_option(wish, name, value, err) < 0)
            return -1;
    }
    return 0;
}

/* `name=value` */
static int set_text(struct wish *wish, const char *text, struct qg_err *err) {
    const char *equals = strchr(text, '=');
    if (!equals)
        return qg_err_set(err, QG_ERR_INVALID, "devices: %.120s: '%.60s' is no option: value",
                          wish->text, text);
    QG_AUTO_STR char *name = strndup(text, (size_t)(equals - text));
    QG_AUTO(json) json_t *value = qg_value_text(equals + 1, err);
    if (!name)
        return qg_err_oom(err);
    return value ? set_option(wish, name, value, err) : -1;
}

static int set_options(struct wish *wish, const json_t *value, struct qg_err *err) {
    if (json_is_object(value))
        return set_pairs(wish, value, err);
    if (!qg_value_is_empty(value) && !json_is_array(value))
        return json_is_string(value) ? set_text(wish, json_string_value(value), err)
                                     : fail_item(value, err);
    size_t i;
    json_t *item;
    json_array_foreach(qg_value_mutable(value), i, item) {
        int status = json_is_object(item)   ? set_pairs(wish, item, err)
                     : json_is_string(item) ? set_text(wish, json_string_value(item), err)
                     : json_is_null(item)   ? 0
                                            : fail_item(item, err);
        if (status < 0)
            return -1;
    }
    return 0;
}

/* Whole: name and options of an item of gather_items. */
static int parse_wish(const json_t *item, struct wish *wish, struct qg_err *err) {
    if (parse_name(json_string_value(json_array_get(item, 0)), wish, err) < 0)
        return -1;
    wish->options = qg_value_object(err);
    return wish->options ? set_options(wish, json_array_get(item, 1), err) : -1;
}

static int add_item(json_t *items, const char *text, const json_t *options, struct qg_err *err) {
    QG_AUTO(json) json_t *item = qg_value_array(err);
    if (!item || qg_value_append_take(item, qg_value_text(text, err), err) < 0 ||
        qg_value_append_take(item, options ? json_incref(qg_value_mutable(options)) : json_null(),
                             err) < 0)
        return -1;
    return qg_value_append_take(items, QG_STEAL(item), err);
}

/* A text, a mapping of texts to options, or a list of both. */
static int add_value(json_t *items, const json_t *value, bool in_list, struct qg_err *err) {
    if (qg_value_is_empty(value))
        return 0;
    if (json_is_string(value))
        return add_item(items, json_string_value(value), NULL, err);
    if (json_is_object(value)) {
        const char *text;
        json_t *options;
        json_object_foreach(qg_value_mutable(value), text, options) {
            if (add_item(items, text, options, err) < 0)
                return -1;
        }
        return 0;
    }
    if (!json_is_array(value) || in_list)
        return fail_item(value, err);
    size_t i;
    json_t *item;
    json_array_foreach(qg_value_mutable(value), i, item) {
        if (add_value(items, item, true, err) < 0)
            return -1;
    }
    return 0;
}

/* Words of a command line: a verb, then devices, up to the next verb. */
static int add_words(json_t *items, const json_t *words, const char *wanted, struct qg_err *err) {
    const char *verb = NULL;
    size_t i;
    json_t *word;
    json_array_foreach(qg_value_mutable(words), i, word) {
        const char *text = json_string_value(word);
        bool is_verb = false;
        for (const char *const *key = keys; text && *key; key++)
            is_verb = is_verb || strcmp(*key, text) == 0;
        verb = is_verb ? text : verb;
        if (!verb || !text)
            return qg_err_set(err, QG_ERR_INVALID,
                              "devices: attach, detach or list is expected before '%.120s'",
                              text ? text : qg_value_type_name(word));
        if (!is_verb && strcmp(verb, wanted) == 0 && add_item(items, text, NULL, err) < 0)
            return -1;
    }
    return 0;
}

/* What stands under a verb, a new list of [text, options]. */
static json_t *gather_items(struct qg_block *block, const char *verb, struct qg_err *err) {
    QG_AUTO(json) json_t *items = qg_value_array(err);
    struct qg_err problem = {0};
    const json_t *value = qg_body_get(&block->body, verb, &problem);
    if (problem.kind != QG_ERR_NONE && err)
        *err = problem;
    if (!items || problem.kind != QG_ERR_NONE || add_value(items, value, false, err) < 0 ||
        add_words(items, block->body.words, verb, err) < 0)
        return NULL;
    return QG_STEAL(items);
}

static bool has_word(const struct qg_block *block, const char *word) {
    size_t i;
    json_t *item;
    json_array_foreach(block->body.words, i, item) {
        const char *text = json_string_value(item);
        if (text && strcmp(text, word) == 0)
            return true;
    }
    return false;
}

/* ---- what has to be seen ---- */

static int need_items(struct qg_block *block, const char *verb, struct qg_need *need, size_t *count,
                      struct qg_err *err) {
    QG_AUTO(json) json_t *items = gather_items(block, verb, err);
    size_t i;
    json_t *item;
    if (!items)
        return -1;
    *count += json_array_size(items);
    json_array_foreach(items, i, item) {
        QG_AUTO(wish) struct wish wish;
        if (parse_wish(item, &wish, err) < 0 || qg_need_add(&need->classes, wish.class, err) < 0)
            return -1;
        need->pci = need->pci || is_pci_of_dom0(&wish);
    }
    return 0;
}

static int devices_need(struct qg_block *block, struct qg_need *need, struct qg_err *err) {
    size_t count = 0;
    if (need_items(block, attach_verb, need, &count, err) < 0)
        return -1;
    return need_items(block, detach_verb, need, &count, err);
}

/* ---- resolving ---- */

/* The port that a wish names, as a device of any identity. */
static json_t *device_at(const struct wish *wish, const char *identity, struct qg_err *err) {
    QG_AUTO(json) json_t *device = qg_value_object(err);
    if (!device ||
        qg_value_set_take(device, "port_id", qg_value_text(wish->ref.port, err), err) < 0 ||
        qg_value_set_take(device, "device_id", qg_value_text(identity, err), err) < 0 ||
        qg_value_set_take(device, "backend_domain", qg_value_text(wish->backend, err), err) < 0)
        return NULL;
    return QG_STEAL(device);
}

/* What a backend offers: asked where an identity has to be checked. New list. */
static json_t *available_of(struct qg_job *job, const struct wish *wish, struct qg_err *err) {
    QG_AUTO(batch) struct qg_batch batch = {0};
    const struct qg_client *client = qg_run_client(job->run);
    if (qg_batch_add_device(&batch, wish->class, "Available", wish->backend, err) < 0 ||
        qg_batch_run(&batch, 0, client, err) < 0)
        return NULL;
    const struct qg_call *call = &batch.calls[0];
    if (call->err.kind != QG_ERR_NONE) {
        if (err && err->kind == QG_ERR_NONE)
            *err = call->err;
        return NULL;
    }
    return qg_lines_devices(call->data, call->data_length, err);
}

static json_t *find_by_identity(struct qg_job *job, const struct wish *wish, struct qg_err *err) {
    QG_AUTO(json) json_t *available = available_of(job, wish, err);
    struct qg_err problem = {0};
    const json_t *found = available ? qg_device_find(available, &wish->ref, &problem) : NULL;
    if (found)
        return json_incref(qg_value_mutable(found));
    if (problem.kind != QG_ERR_NONE && err && err->kind == QG_ERR_NONE)
        *err = problem;
    if (available)
        qg_err_set(err, QG_ERR_INVALID, "attach: %s offers no %s device %s now", wish->backend,
                   wish->class, wish->rest);
    return NULL;
}

/* The backend must be there: qubesd only closes the connection on one that is not. */
static int check_backend(struct qg_job *job, const struct wish *wish, struct qg_err *err) {
    if (strcmp(wish->backend, dom0) == 0)
        return 0;
    const struct qg_want want = {.power = true};
    QG_AUTO(qube) struct qg_qube backend = {0};
    if (qg_run_observe(job->run, wish->backend, &want, false, job->test, &backend, err) < 0)
        return -1;
    if (backend.exists)
        return 0;
    if (!job->test)
        return qg_err_set(err, QG_ERR_INVALID, "attach: %s: there is no qube %s", wish->text,
                          wish->backend);
    return qg_job_warn(job, err,
                       "Backend %s does not exist, and no state before this one makes it.",
                       wish->backend);
}

/* The device to be attached, a new value. */
static json_t *resolve(struct qg_job *job, const struct wish *wish, struct qg_err *err) {
    if (is_pci_of_dom0(wish))
        return json_incref(qg_value_mutable(qg_assign_resolve(job, attach_verb, wish->rest, err)));
    if (wish->ref.identity[0])
        return find_by_identity(job, wish, err);
    return device_at(wish, "*", err);
}

/* ---- attach ---- */

/* `CLASS:BACKEND:PORT`, the key of a change. */
static json_t *name_of(const char *class, const json_t *device, struct qg_err *err) {
    const char *backend = qg_value_get_text(device, "backend_domain");
    return qg_value_format(err, "%s:%s:%s", class, backend ? backend : dom0,
                           qg_value_get_text(device, "port_id"));
}

static json_t *attached_text(const char *options, struct qg_err *err) {
    return qg_value_format(err, "[ATTACHED] %s", options);
}

/* Notes `qvm.devices` > name > old, new. */
static int note(struct qg_step *step, const json_t *name, json_t *old, json_t *new,
                struct qg_err *err) {
    json_t *path = step ? json_pack("[s,O]", "qvm.devices", name) : NULL;
    if (step)
        return qg_step_change_take(step, path, old, new, err);
    json_decref(old);
    json_decref(new);
    return -1;
}

/* True where the assignment has the wish's options, and its mode where one is given. */
static int is_as_wanted(const struct wish *wish, const json_t *assignment, bool *fine,
                        struct qg_err *err) {
    QG_AUTO(json) json_t *options = qg_device_options(assignment, err);
    const char *mode = qg_value_get_text(assignment, "mode");
    *fine = json_equal(options, wish->options) &&
            (!wish->mode || (mode && strcmp(mode, wish->mode) == 0));
    return options ? 0 : -1;
}

/* Takes the assignment away before the device gets another one. */
static int replace(struct qg_job *job, const struct wish *wish, const json_t *name, json_t *old,
                   const char *old_text, struct qg_err *err) {
    return old ? note(qg_assign_drop(job, wish->class, old, err), name,
                      attached_text(old_text, err), qg_value_text("[DETACHED]", err), err)
               : 0;
}

static int attach_device(struct qg_job *job, struct qg_block *block, const struct wish *wish,
                         const json_t *device, struct qg_err *err) {
    const json_t *assignment = qg_assign_find(&job->qube, wish->class, device);
    const json_t *stale = qg_assign_find_stale(&job->qube, wish->class, device);
    QG_AUTO(json) json_t *old = json_incref(qg_value_mutable(assignment ? assignment : stale));
    QG_AUTO(json) json_t *name = name_of(wish->class, device, err);
    bool fine = false;
    if (!name || (assignment && is_as_wanted(wish, assignment, &fine, err) < 0))
        return -1;
    const char *text = json_string_value(name);
    QG_AUTO_STR char *before = old ? qg_assign_text(old, err) : NULL;
    const char *mode = wish->mode   ? wish->mode
                       : assignment ? qg_value_get_text(assignment, "mode")
                                    : modes[0];
    QG_AUTO_STR char *after = qg_assign_options_text(mode, wish->options, err);
    if (!after || (old && !before))
        return -1;
    if (fine)
        return qg_block_say(block, err, "[SKIP] Device already attached: %s %s", text, before);
    if (check_backend(job, wish, err) < 0 ||
        (is_pci_of_dom0(wish) && qg_assign_warn_taken(job, device, err) < 0) ||
        (stale && !assignment &&
         qg_block_say(block, err, "%s was another device: %s", text,
                      qg_value_get_text(stale, "device_id")) < 0) ||
        qg_block_say(block, err, "%s: %s%s[ATTACHED] %s", text, before ? before : "",
                     before ? " -> " : "", after) < 0 ||
        replace(job, wish, name, old, before, err) < 0)
        return -1;
    return note(qg_assign_add(job, wish->class, mode ? mode : modes[0], device, wish->options, err),
                name, before ? attached_text(before, err) : json_null(), attached_text(after, err),
                err);
}

/* ---- detach ---- */

/* Whether the stored assignment is what a wish names. at: the port that dom0 has the wish's BDF at,
 * or NULL. */
static bool is_named(const json_t *assignment, const struct wish *wish, const char *at) {
    const char *backend = qg_value_get_text(assignment, "backend_domain");
    const char *port = qg_value_get_text(assignment, "port_id");
    const char *identity = qg_value_get_text(assignment, "device_id");
    if (strcmp(backend ? backend : dom0, wish->backend) != 0)
        return false;
    if (!wish->ref.port[0] && !wish->ref.bdf[0])
        return strcmp(identity, wish->ref.identity) == 0;
    char bdf[16];
    return strcmp(port, wish->ref.port) == 0 || (at && strcmp(port, at) == 0) ||
           (wish->ref.bdf[0] && qg_bdf_normalise(port, bdf) && strcmp(bdf, wish->ref.bdf) == 0);
}

/* Where the address is now; a device that vanished is at no port, and that is fine. */
static const char *port_of_bdf(struct qg_job *job, const struct wish *wish) {
    struct qg_err ignored = {0};
    struct qg_device_ref place = wish->ref;
    place.identity[0] = '\0';
    const json_t *known =
        is_pci_of_dom0(wish) && place.bdf[0] ? qg_run_pci(job->run, false, &ignored) : NULL;
    const json_t *device = known ? qg_device_find(known, &place, &ignored) : NULL;
    return qg_value_get_text(device, "port_id");
}

/* The stored assignment that a wish names: *found borrowed, NULL where there is none. */
static int find_named(struct qg_job *job, const struct wish *wish, const json_t **found,
                      struct qg_err *err) {
    const char *at = port_of_bdf(job, wish);
    const char *other = NULL; /* the identity of what is assigned there instead */
    size_t i;
    json_t *assignment;
    *found = NULL;
    json_array_foreach(qg_qube_assignments(&job->qube, wish->class), i, assignment) {
        if (!is_named(assignment, wish, at))
            continue;
        const char *identity = qg_value_get_text(assignment, "device_id");
        if (wish->ref.identity[0] && strcmp(identity, "*") != 0 &&
            strcmp(identity, wish->ref.identity) != 0) {
            other = identity;
            continue;
        }
        if (*found && !wish->ref.port[0] && !wish->ref.bdf[0])
            return qg_err_set(err, QG_ERR_INVALID,
                              "detach: %s: both %s and %s have this identity, name the port",
                              wish->text, qg_value_get_text(*found, "port_id"),
                              qg_value_get_text(assignment, "port_id"));
        *found = *found ? *found : assignment;
    }
    return *found || !other
               ? 0
               : qg_err_set(err, QG_ERR_INVALID, "detach: %s: what is assigned there is %s",
                            wish->text, other);
}

/* Every assignment at the place goes: there may be one of a card that was there before. */
static int detach_device(struct qg_job *job, struct qg_block *block, const struct wish *wish,
                         json_t *detached, struct qg_err *err) {
    bool any = false;
    for (;;) {
        const json_t *found;
        if (find_named(job, wish, &found, err) < 0)
            return -1;
        if (!found)
            break;
        any = true;
        QG_AUTO(json) json_t *old = json_incref(qg_value_mutable(found));
        QG_AUTO(json) json_t *name = name_of(wish->class, old, err);
        if (!name || qg_value_set_take(detached, json_string_value(name), json_true(), err) < 0 ||
            qg_block_say(block, err, "%s: [ATTACHED] -> [DETACHED]", json_string_value(name)) < 0 ||
            note(qg_assign_drop(job, wish->class, old, err), name, qg_value_text("[ATTACHED]", err),
                 qg_value_text("[DETACHED]", err), err) < 0)
            return -1;
    }
    return any ? 0 : qg_block_say(block, err, "[SKIP] Device not attached: %s", wish->text);
}

/* ---- list ---- */

/* The classes that this dom0 knows, a new list. */
static json_t *all_classes(struct qg_job *job, struct qg_err *err) {
    struct qg_call call = {.request = {.method = "admin.deviceclass.List", .dest = dom0}};
    json_t *classes = qg_client_call(qg_run_client(job->run), &call, err) == 0
                          ? qg_lines_names(call.data, call.data_length, err)
                          : NULL;
    qg_call_fini(&call);
    return classes;
}

/* The classes to be listed: those named behind `list`, else all. New list. */
static json_t *classes_to_list(struct qg_job *job, struct qg_block *block, struct qg_err *err) {
    const json_t *named = json_object_get(block->body.keys, "list");
    QG_AUTO(json)
    json_t *classes = json_is_array(named) || json_is_string(named)
                          ? qg_body_names(&block->body, "list", err)
                          : qg_value_array(err);
    if (!classes || qg_body_use(&block->body, "list", err) < 0)
        return NULL;
    for (size_t i = 1; i < json_array_size(block->body.words); i++)
        if (json_array_append(classes, json_array_get(block->body.words, i)) < 0) {
            qg_err_oom(err);
            return NULL;
        }
    return json_array_size(classes) ? QG_STEAL(classes) : all_classes(job, err);
}

static json_t *describe(const json_t *name, const json_t *assignment, struct qg_err *err) {
    QG_AUTO(json) json_t *out = qg_value_object(err);
    const char *mode = qg_value_get_text(assignment, "mode");
    if (!out || qg_value_set_take(out, "device", json_incref(qg_value_mutable(name)), err) < 0 ||
        qg_value_set_take(out, "identity", json_incref(json_object_get(assignment, "device_id")),
                          err) < 0 ||
        qg_value_set_take(out, "mode", mode ? qg_value_text(mode, err) : json_null(), err) < 0 ||
        qg_value_set_take(out, "options", qg_device_options(assignment, err), err) < 0)
        return NULL;
    return QG_STEAL(out);
}

static int answer_class(struct qg_job *job, struct qg_block *block, const char *class, json_t *data,
                        struct qg_err *err) {
    size_t i;
    json_t *assignment;
    json_array_foreach(qg_qube_assignments(&job->qube, class), i, assignment) {
        QG_AUTO(json) json_t *name = name_of(class, assignment, err);
        QG_AUTO_STR char *text = qg_assign_text(assignment, err);
        if (!name || !text ||
            qg_block_say(block, err, "%s %s", json_string_value(name), text) < 0 ||
            qg_value_append_take(data, describe(name, assignment, err), err) < 0)
            return -1;
    }
    return 0;
}

static int answer(struct qg_job *job, struct qg_block *block, struct qg_err *err) {
    QG_AUTO(json) json_t *classes = classes_to_list(job, block, err);
    QG_AUTO(json) json_t *data = qg_value_array(err);
    const struct qg_want want = {.classes = classes};
    if (!classes || !data || qg_job_observe_more(job, &want, err) < 0)
        return -1;
    size_t i;
    json_t *class;
    json_array_foreach(classes, i, class) {
        if (answer_class(job, block, json_string_value(class), data, err) < 0)
            return -1;
    }
    block->data = QG_STEAL(data);
    return 0;
}

/* ---- the action ---- */

static int plan_detach(struct qg_job *job, struct qg_block *block, const json_t *items,
                       json_t *detached, struct qg_err *err) {
    size_t i;
    json_t *item;
    json_array_foreach(qg_value_mutable(items), i, item) {
        QG_AUTO(wish) struct wish wish;
        if (parse_wish(item, &wish, err) < 0 || detach_device(job, block, &wish, detached, err) < 0)
            return -1;
    }
    return 0;
}

static int plan_attach(struct qg_job *job, struct qg_block *block, const json_t *items,
                       const json_t *detached, struct qg_err *err) {
    size_t i;
    json_t *item;
    json_array_foreach(qg_value_mutable(items), i, item) {
        QG_AUTO(wish) struct wish wish;
        if (parse_wish(item, &wish, err) < 0)
            return -1;
        QG_AUTO(json) json_t *device = resolve(job, &wish, err);
        QG_AUTO(json) json_t *name = device ? name_of(wish.class, device, err) : NULL;
        if (!name)
            return -1;
        if (json_object_get(detached, json_string_value(name)))
            return qg_err_set(err, QG_ERR_INVALID, "devices: %s is to be attached and detached",
                              json_string_value(name));
        if (attach_device(job, block, &wish, device, err) < 0)
            return -1;
    }
    return 0;
}

/* Detaching comes first: the port may be wanted again. */
static int plan_items(struct qg_job *job, struct qg_block *block, struct qg_err *err) {
    QG_AUTO(json) json_t *attach = gather_items(block, attach_verb, err);
    QG_AUTO(json) json_t *detach = gather_items(block, detach_verb, err);
    QG_AUTO(json) json_t *detached = qg_value_object(err);
    if (!attach || !detach || !detached)
        return -1;
    bool empty = json_array_size(attach) == 0 && json_array_size(detach) == 0;
    bool asked =
        json_object_get(block->body.keys, "list") || has_word(block, "list") ||
        (json_object_size(block->body.keys) == 0 && json_array_size(block->body.words) == 0);
    if (empty && asked)
        return answer(job, block, err);
    if (empty)
        return qg_block_say(block, err, "[SKIP] No devices given");
    return plan_detach(job, block, detach, detached, err) < 0
               ? -1
               : plan_attach(job, block, attach, detached, err);
}

static int devices_plan(struct qg_job *job, struct qg_block *block, struct qg_err *err) {
    bool exists;
    if (qg_job_must_exist(job, block, &exists, err) < 0)
        return -1;
    if (!exists)
        return 0;
    return plan_items(job, block, err) < 0 ? -1 : qg_prefs_plan_deferred(job, err);
}

const struct qg_action qg_action_devices = {"devices", keys, devices_need, devices_plan,
                                            QG_ACTION_ASSIGNS};
