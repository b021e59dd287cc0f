/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "qvm/action.h"

#include "base/text.h"
#include "qvm/create.h"
#include "qvm/value.h"

#include <stdlib.h>
#include <string.h>

static const char *const keys[] = {"template", "label", "class",          "mem",
                                   "memory",   "vcpus", "root-move-from", "root-copy-from",
                                   "flags",    NULL};

static const char *const flags[] = {"proxy",      "net",   "hvm", "hvm-template",
                                    "standalone", "quiet", NULL};

/* What the body asks for. Texts are owned. */
struct wish {
    char *template, *label, *klass, *memory, *vcpus;
    bool hvm, net, proxy;
    bool chosen; /* the class was named, and is not just the usual one */
    bool strict; /* another class or template is an error */
};

static void wish_fini(struct wish *wish) {
    free(wish->template);
    free(wish->label);
    free(wish->klass);
    free(wish->memory);
    free(wish->vcpus);
}

QG_DEFINE_AUTO_FINI(wish, struct wish, wish_fini)

/* A scalar key, NULL where it is missing, null or empty. */
static int take_text(struct qg_body *body, const char *key, char **out, struct qg_err *err) {
    QG_AUTO_STR char *text = NULL;
    if (qg_body_take_text(body, key, &text, err) < 0)
        return -1;
    if (text && *text && !*out)
        *out = QG_STEAL(text);
    return 0;
}

static int take_number(struct qg_body *body, const char *key, char **out, struct qg_err *err) {
    int64_t number;
    if (take_text(body, key, out, err) < 0)
        return -1;
    if (*out && (!qg_text_to_int(*out, &number) || number <= 0))
        return qg_err_set(err, QG_ERR_INVALID, "%s: '%s' is not a number above zero", key, *out);
    return 0;
}

/* The class by upstream's order: the flags hvm-template and standalone, then the key, then AppVM.
 */
static int take_class(struct qg_body *body, struct wish *wish, struct qg_err *err) {
    bool template, standalone;
    if (qg_body_flag(body, "hvm-template", &template, err) < 0 ||
        qg_body_flag(body, "standalone", &standalone, err) < 0 ||
        take_text(body, "class", &wish->klass, err) < 0)
        return -1;
    wish->chosen = template || standalone || wish->klass;
    const char *forced = template ? "TemplateVM" : standalone ? "StandaloneVM" : NULL;
    if (!forced && wish->klass)
        return 0;
    free(wish->klass);
    wish->klass = strdup(forced ? forced : "AppVM");
    return wish->klass ? 0 : qg_err_oom(err);
}

static int refuse_move(struct qg_body *body, struct qg_err *err) {
    static const char *const moves[] = {"root_move_from", "root_copy_from"};
    for (size_t i = 0; i < QG_ARRAY_LEN(moves); i++) {
        const json_t *value;
        if (qg_body_find(body, moves[i], &value, err) < 0)
            return -1;
        if (!qg_value_is_empty(value))
            return qg_err_set(
                err, QG_ERR_INVALID,
                "%s: filling a root volume from a file is not supported, use qvm-volume import",
                moves[i]);
    }
    return 0;
}

static int take_wish(struct qg_body *body, struct wish *wish, struct qg_err *err) {
    if (take_text(body, "template", &wish->template, err) < 0 ||
        take_text(body, "label", &wish->label, err) < 0 || take_class(body, wish, err) < 0 ||
        take_number(body, "mem", &wish->memory, err) < 0 ||
        take_number(body, "memory", &wish->memory, err) < 0 ||
        take_number(body, "vcpus", &wish->vcpus, err) < 0 || refuse_move(body, err) < 0)
        return -1;
    if (qg_body_bool(body, "strict", false, &wish->strict, err) < 0)
        return -1;
    return qg_body_flag(body, "hvm", &wish->hvm, err) < 0 ||
                   qg_body_flag(body, "net", &wish->net, err) < 0 ||
                   qg_body_flag(body, "proxy", &wish->proxy, err) < 0
               ? -1
               : 0;
}

static int present_need(struct qg_block *block, struct qg_need *need, struct qg_err *err) {
    (void)block;
    (void)err;
    need->want.properties = true;
    return 0;
}

static int say_differing(struct qg_block *block, const struct qg_qube *qube, const char *name,
                         const char *wanted, struct qg_err *err) {
    const struct qg_property *property = qg_properties_find(&qube->properties, name);
    if (!wanted || !property || qg_property_equal(name, property->type, property->value, wanted))
        return 0;
    return qg_block_say(
        block, err, "It differs: %s is %s, not %s (present does not change a qube that is there)",
        strcmp(name, "klass") == 0 ? "class" : name, *property->value ? property->value : "none",
        *wanted ? wanted : "none");
}

/* For whoever needs just this class and template (qvm_gpu.present): neither can be changed. */
static int check_same(const struct qg_qube *qube, const char *name, const char *wanted,
                      struct qg_err *err) {
    const struct qg_property *property = qg_properties_find(&qube->properties, name);
    if (!wanted || !property || strcmp(property->value, wanted) == 0)
        return 0;
    return qg_err_set(
        err, QG_ERR_INVALID,
        "%s: %s has %s, not %s, and that is not changed; remove the qube or give it another name",
        strcmp(name, "klass") == 0 ? "class" : name, qube->name, property->value, wanted);
}

static int compare(struct qg_job *job, struct qg_block *block, const struct wish *wish,
                   struct qg_err *err) {
    if (wish->strict && (check_same(&job->qube, "klass", wish->klass, err) < 0 ||
                         check_same(&job->qube, "template", wish->template, err) < 0))
        return -1;
    if (qg_block_say(block, err, "[SKIP] A VM with the name '%s' already exists.", job->name) < 0 ||
        say_differing(block, &job->qube, "klass", wish->chosen ? wish->klass : NULL, err) < 0 ||
        say_differing(block, &job->qube, "template", wish->template, err) < 0 ||
        say_differing(block, &job->qube, "label", wish->label, err) < 0 ||
        say_differing(block, &job->qube, "memory", wish->memory, err) < 0 ||
        say_differing(block, &job->qube, "vcpus", wish->vcpus, err) < 0 ||
        say_differing(block, &job->qube, "virt_mode", wish->hvm ? "hvm" : NULL, err) < 0 ||
        say_differing(block, &job->qube, "provides_network",
                      wish->net || wish->proxy ? "True" : NULL, err) < 0)
        return -1;
    return say_differing(block, &job->qube, "netvm", wish->net ? "" : NULL, err);
}

/* A property of the new qube. It is part of the creation, as nothing sets it on a later run. */
static int set_property(struct qg_job *job, struct qg_block *block, const char *name,
                        const char *value, struct qg_err *err) {
    if (!value)
        return 0;
    const struct qg_property *property = qg_properties_find(&job->qube.properties, name);
    if (!property)
        return qg_err_set(err, QG_ERR_INVALID, "%s: a %s has no such property", name,
                          qg_qube_class(&job->qube));
    json_t *old = qg_value_shown(property, err);
    json_t *new = qg_value_of_property(property->type, value, err);
    if (!old || !new) {
        json_decref(old);
        json_decref(new);
        return -1;
    }
    return qg_job_step_take(job, block, QG_STEP_PROPERTY_SET, name, value, NULL, name, old, new,
                            err);
}

static int set_properties(struct qg_job *job, struct qg_block *block, const struct wish *wish,
                          struct qg_err *err) {
    if (set_property(job, block, "memory", wish->memory, err) < 0 ||
        set_property(job, block, "vcpus", wish->vcpus, err) < 0 ||
        set_property(job, block, "virt_mode", wish->hvm ? "hvm" : NULL, err) < 0 ||
        set_property(job, block, "provides_network", wish->net || wish->proxy ? "True" : NULL,
                     err) < 0 ||
        set_property(job, block, "netvm", wish->net ? "" : NULL, err) < 0)
        return -1;
    return block->open ? 0 : qg_create_end(job, err);
}

static bool has_properties(const struct wish *wish) {
    return wish->memory || wish->vcpus || wish->hvm || wish->net || wish->proxy;
}

static int present_plan(struct qg_job *job, struct qg_block *block, struct qg_err *err) {
    QG_AUTO(wish) struct wish wish = {0};
    if (take_wish(&block->body, &wish, err) < 0 || qg_job_know_flags(job, block, flags, err) < 0 ||
        qg_create_resume(job, block, err) < 0)
        return -1;
    if (job->qube.exists)
        return compare(job, block, &wish, err);
    if (!wish.label && job->label && !qg_value_is_default_word(job->label)) {
        wish.label = qg_value_to_text(job->label, err);
        if (!wish.label)
            return -1;
    }
    bool own_root =
        strcmp(wish.klass, "StandaloneVM") == 0 || strcmp(wish.klass, "TemplateVM") == 0;
    const struct qg_creation creation = {.klass = wish.klass,
                                         .source = wish.template,
                                         .label = wish.label,
                                         .clone = own_root && wish.template,
                                         .more = block->open || has_properties(&wish)};
    if (qg_create_plan(job, block, &creation, err) < 0)
        return -1;
    return creation.more ? set_properties(job, block, &wish, err) : 0;
}

const struct qg_action qg_action_present = {"present", keys, present_need, present_plan,
                                            QG_ACTION_EARLY};
