/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Firewall rules: a rule in its own form stays as it is. */
#include "fuzz.h"

#include "wire/firewall.h"

static void try_rule(const char *text) {
    struct qg_err err = {0};
    int64_t expires = 0, again_expires = 0;
    QG_AUTO_STR char *rule = qg_firewall_rule(text, &expires, &err);
    must_explain(rule ? 0 : -1, &err);
    if (!rule)
        return;
    QG_AUTO_STR char *again = qg_firewall_rule(rule, &again_expires, &err);
    MUST(again && strcmp(again, rule) == 0 && again_expires == expires);
    MUST(!strchr(rule, '\n')); /* or it were two */
}

/* A list of one, which may be newer than we are. */
static void try_rules(const char *text) {
    struct qg_err err = {0};
    QG_AUTO(json) json_t *list = json_pack("[s]", text);
    QG_AUTO(json) json_t *rules = list ? qg_firewall_rules(list, &err) : NULL;
    QG_AUTO(json) json_t *again = rules ? qg_firewall_rules(rules, &err) : NULL;
    MUST(!list || (rules && json_equal(rules, again)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct input input = {data, size};
    QG_AUTO_STR char *text = take_text(&input);
    try_rule(text);
    try_rules(text);
    return 0;
}
