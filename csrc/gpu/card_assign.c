/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "gpu/card_assign.h"

#include "gpu/listed.h"
#include "qvm/assign.h"
#include "qvm/create.h"

#include <string.h>

static int card_need(struct qg_block *block, struct qg_need *need, struct qg_err *err) {
    (void)block;
    need->pci = true;
    return qg_need_add(&need->classes, "pci", err);
}

/* A bool that may be missing, as what is asked of an option; on: the value that switches it on. */
static int take_switch(struct qg_body *body, const char *key, bool on, enum qg_switch *out,
                       struct qg_err *err) {
    bool value;
    const json_t *given = json_object_get(body->keys, key);
    if (qg_body_bool(body, key, false, &value, err) < 0)
        return -1;
    *out = !given || json_is_null(given) ? QG_SWITCH_AS_IS
           : value == on                 ? QG_SWITCH_ON
                                         : QG_SWITCH_OFF;
    return 0;
}

/* Says what the user may have overlooked; CARD: WHAT: OTHERS. */
static int warn_about(struct qg_job *job, const char *what, const json_t *card,
                      const json_t *others, struct qg_err *err) {
    QG_AUTO_STR char *names = qg_listed_text(others, err);
    QG_AUTO_STR char *name = qg_card_describe(card, err);
    if (!names || !name)
        return -1;
    return json_array_size(others) ? qg_job_warn(job, err, "%s: %s: %s.", name, what, names) : 0;
}

/* Assigning does no harm; a start would pull the card from under the driver. */
static int warn_of_drivers(struct qg_job *job, const json_t *card, const json_t *listed,
                           struct qg_err *err) {
    QG_AUTO(json) json_t *drivers = qg_listed_drivers(card, listed, err);
    return drivers ? warn_about(job,
                                "before the qube starts, hide it from dom0 (state qvm_gpu.hidden) "
                                "and reboot dom0, whose drivers hold",
                                card, drivers, err)
                   : -1;
}

/* The functions of the card that a word means, new list. */
static json_t *refs_of_word(struct qg_job *job, const json_t *cards, const char *word, bool force,
                            struct qg_err *err) {
    const json_t *card = qg_cards_pick(cards, word, force, err);
    struct qg_err shared = {0};
    if (!card)
        return NULL;
    if (qg_card_check_group(card, force ? &shared : err) < 0 && !force)
        return NULL;
    if (shared.kind != QG_ERR_NONE && qg_job_warn(job, err, "%s", shared.text) < 0)
        return NULL;
    if (warn_of_drivers(job, card, NULL, err) < 0)
        return NULL;
    return qg_card_refs(card, err);
}

/* A card of which functions are listed. */
static int check_listed(struct qg_job *job, const json_t *card, const json_t *listed, bool force,
                        struct qg_err *err) {
    QG_AUTO(json) json_t *given = qg_listed_functions(card, listed, false, err);
    QG_AUTO(json) json_t *missing = qg_listed_functions(card, listed, true, err);
    QG_AUTO(json) json_t *blocks = qg_listed_blocks(card, listed, err);
    QG_AUTO_STR char *name = qg_card_describe(card, err);
    if (!given || !missing || !blocks || !name)
        return -1;
    if (json_array_size(given) == 0)
        return 0;
    if (json_is_true(json_object_get(card, "display")) && !force)
        return qg_err_set(err, QG_ERR_INVALID,
                          "devices: %s is dom0's display, which would freeze (only force gives it "
                          "away)",
                          name);
    if (warn_about(job, "not all functions are listed, dom0 keeps", card, missing, err) < 0 ||
        warn_of_drivers(job, card, listed, err) < 0)
        return -1;
    return warn_about(job, "shares its IOMMU group with what is not listed", card, blocks, err);
}

/* Adds a text of the list to refs: a device's, or all functions of the card that it means. */
static int add_refs(struct qg_job *job, const json_t *cards, json_t *item, bool force, json_t *refs,
                    struct qg_err *err) {
    const char *text = json_string_value(item);
    struct qg_err problem = {0};
    const json_t *device = qg_assign_resolve(job, "devices", text, &problem);
    if (device && qg_pci_is_bridge(device))
        return qg_err_set(err, QG_ERR_INVALID,
                          "devices: %s is a bridge, which dom0 keeps: list what is behind it, or "
                          "say auto",
                          text);
    if (device)
        return qg_value_append_take(refs, json_incref(item), err);
    /* what looks like an address was meant to be one */
    bool word = problem.kind == QG_ERR_INVALID && !strchr(text, '.');
    const json_t *card = word ? qg_cards_pick(cards, text, force, err) : NULL;
    if (!word && err && err->kind == QG_ERR_NONE)
        *err = problem;
    QG_AUTO(json) json_t *all = card ? qg_card_refs(card, err) : NULL;
    return !all ? -1 : json_array_extend(refs, all) < 0 ? qg_err_oom(err) : 0;
}

static json_t *refs_of_list(struct qg_job *job, struct qg_block *block, const json_t *cards,
                            bool force, struct qg_err *err) {
    QG_AUTO(json) json_t *texts = qg_assign_refs(&block->body, "devices", err);
    QG_AUTO(json) json_t *refs = texts ? qg_value_array(err) : NULL;
    size_t i;
    json_t *card, *text;
    json_array_foreach(texts, i, text) {
        if (!refs || add_refs(job, cards, text, force, refs, err) < 0)
            return NULL;
    }
    QG_AUTO(json)
    json_t *listed = refs ? qg_listed(qg_run_pci(job->run, false, err), refs, err) : NULL;
    if (!listed)
        return NULL;
    json_array_foreach(qg_value_mutable(cards), i, card) {
        if (check_listed(job, card, listed, force, err) < 0)
            return NULL;
    }
    return QG_STEAL(refs);
}

/* What is to be assigned, new list. */
static json_t *refs_of(struct qg_job *job, struct qg_block *block, bool force, struct qg_err *err) {
    QG_AUTO(pci_tree) struct qg_pci_tree tree = {0};
    const json_t *available = qg_run_pci(job->run, false, err);
    if (!available || qg_pci_tree_read(qg_run_host(job->run), &tree, err) < 0)
        return NULL;
    QG_AUTO(json) json_t *cards = qg_cards_find(available, &tree, err);
    const json_t *devices = json_object_get(block->body.keys, "devices");
    if (!cards || qg_body_use(&block->body, "devices", err) < 0)
        return NULL;
    if (!devices || json_is_null(devices))
        return refs_of_word(job, cards, QG_CARD_AUTO, force, err);
    return json_is_string(devices)
               ? refs_of_word(job, cards, json_string_value(devices), force, err)
               : refs_of_list(job, block, cards, force, err);
}

static int card_plan(struct qg_job *job, struct qg_block *block, struct qg_err *err) {
    struct qg_assign how = {.key = "pcidevs"};
    bool exists, force;
    if (qg_job_must_exist(job, block, &exists, err) < 0)
        return -1;
    if (!exists)
        return 0;
    if (qg_body_bool(&block->body, "exact", false, &how.exact, err) < 0 ||
        qg_body_bool(&block->body, "force", false, &force, err) < 0 ||
        take_switch(&block->body, "permissive", true, &how.permissive, err) < 0 ||
        take_switch(&block->body, "strict_reset", false, &how.no_strict_reset, err) < 0)
        return -1;
    QG_AUTO(json) json_t *refs = refs_of(job, block, force, err);
    if (!refs || qg_create_end(job, err) < 0)
        return -1;
    return qg_assign_plan(job, block, refs, &how, err) < 0 ? -1 : qg_prefs_plan_deferred(job, err);
}

/* Its changes are those of qvm.prefs: pcidevs. */
const struct qg_action qg_action_card = {"prefs", NULL, card_need, card_plan, QG_ACTION_ASSIGNS};
