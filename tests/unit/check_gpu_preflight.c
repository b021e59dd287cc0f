/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The checks before a qube gets a card, and hiding it from dom0. */
#include "doc/json.h"
#include "gpu/hidden.h"
#include "gpu/preflight.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

Suite *qg_suite_gpu_preflight(void);

static struct qg_err err;

/* A card of two functions; driver and hidden as sysfs would tell them, NULL: not known. */
static json_t *make_card(const char *driver, const char *display) {
    QG_AUTO_STR char *text = NULL;
    const char *hidden = !driver ? "null" : strcmp(driver, "pciback") == 0 ? "true" : "false";
    ck_assert_int_ge(
        asprintf(&text,
                 "{\"bdf\": \"0000:01:00.0\", \"port\": \"p\", \"product\": \"GA106\", "
                 "\"display\": %s, \"memory\": 268435456, \"assigned\": [\"gpu\"], \"attached\": "
                 "[], \"group\": {\"blocks\": [], \"sure\": \"certain\", \"reason\": \"r\"}, "
                 "\"functions\": ["
                 "{\"bdf\": \"0000:01:00.0\", \"driver\": \"%s\", \"hidden\": %s},"
                 "{\"bdf\": \"0000:01:00.1\", \"driver\": \"%s\", \"hidden\": %s}]}",
                 display, driver ? driver : "", hidden, driver ? driver : "", hidden),
        0);
    json_t *card = qg_json_load(text, strlen(text), &err);
    ck_assert_msg(card != NULL, "%s", err.text);
    return card;
}

static json_t *list_of(const char *text) {
    json_t *list = qg_json_load(text, strlen(text), &err);
    ck_assert_ptr_nonnull(list);
    return list;
}

/* A machine on which everything is in order. */
static struct qg_preflight_facts good_facts(const json_t *card, const json_t *hidden,
                                            const json_t *running) {
    return (struct qg_preflight_facts){
        .card = card,
        .local = true,
        .virt_caps = "pv hvm hvm_directio pv_directio hap",
        .hidden_now = hidden,
        .hidden_next = hidden,
        .running = running,
        .qube = "gpu",
        .source = "fedora-41-xfce",
        .source_found = 1,
        .source_os = "Linux",
        .source_distribution = "fedora",
        .label = "yellow",
        .label_found = 1,
        .memory = 3400,
        .memory_total = 32768,
        .root_size = (int64_t)20 << 30,
        .pool_size = (int64_t)100 << 30,
        .pool_usage = (int64_t)50 << 30,
        .pool = "varlibqubes",
    };
}

static const json_t *find_check(const json_t *checks, const char *name) {
    size_t i;
    json_t *item;
    json_array_foreach(qg_value_mutable(checks), i, item) {
        if (strcmp(qg_value_get_text(item, "check"), name) == 0)
            return item;
    }
    return NULL;
}

static void check_one(const struct qg_preflight_facts *facts, const char *name, const char *status,
                      const char *reason) {
    err = (struct qg_err){0};
    QG_AUTO(json) json_t *checks = qg_preflight(facts, &err);
    ck_assert_msg(checks != NULL, "%s", err.text);
    const json_t *item = find_check(checks, name);
    ck_assert_msg(item != NULL, "%s", name);
    ck_assert_str_eq(qg_value_get_text(item, "status"), status);
    ck_assert_msg(strstr(qg_value_get_text(item, "reason"), reason) != NULL, "%s",
                  qg_value_get_text(item, "reason"));
    ck_assert(qg_preflight_passed(checks) == (strcmp(status, "fail") != 0));
    ck_assert(strcmp(status, "fail") != 0 || qg_value_get_text(item, "cure"));
}

START_TEST(passes_a_machine_in_order) {
    QG_AUTO(json) json_t *card = make_card("pciback", "false");
    QG_AUTO(json) json_t *hidden = list_of("[\"01:00.0\", \"0000:01:00.1\"]");
    QG_AUTO(json) json_t *running = list_of("[\"dom0\", \"sys-net\"]");
    struct qg_preflight_facts facts = good_facts(card, hidden, running);
    QG_AUTO(json) json_t *checks = qg_preflight(&facts, &err);
    static const char *const order[] = {"iommu",   "card",   "display",   "group",    "hidden",
                                        "pciback", "in_use", "large_bar", "template", "label",
                                        "memory",  "pool",   "kernel"};
    ck_assert_uint_eq(json_array_size(checks), QG_ARRAY_LEN(order));
    for (size_t i = 0; i < QG_ARRAY_LEN(order); i++) {
        const json_t *item = json_array_get(checks, i);
        ck_assert_str_eq(qg_value_get_text(item, "check"), order[i]);
        ck_assert_str_eq(qg_value_get_text(item, "status"), "ok");
        ck_assert(json_is_null(json_object_get(item, "cure")));
    }
}
END_TEST

/* What the guides do one after the other, each step's check failing before and passing after. */
START_TEST(follows_the_guides_steps) {
    QG_AUTO(json) json_t *before = make_card("nouveau", "false");
    QG_AUTO(json) json_t *after = make_card("pciback", "false");
    QG_AUTO(json) json_t *none = list_of("[]");
    QG_AUTO(json) json_t *all = list_of("[\"01:00.0\", \"01:00.1\"]");
    QG_AUTO(json) json_t *running = list_of("[\"dom0\"]");
    struct qg_preflight_facts facts = good_facts(before, none, running);
    check_one(&facts, "hidden", "fail", "does not hide 01:00.0 and 01:00.1");
    check_one(&facts, "pciback", "fail", "0000:01:00.0 (nouveau), 0000:01:00.1 (nouveau)");
    facts.hidden_next = all;
    check_one(&facts, "hidden", "fail", "at the next boot, not yet now");
    facts.hidden_now = all;
    facts.card = after;
    check_one(&facts, "hidden", "ok", "hides all");
    check_one(&facts, "pciback", "ok", "holds all");
    facts.hidden_next = none;
    check_one(&facts, "hidden", "warn", "next boot");
    facts.card = before;
    facts.hidden_next = all;
    QG_AUTO(json) json_t *checks = qg_preflight(&facts, &err);
    ck_assert_ptr_nonnull(
        strstr(qg_value_get_text(find_check(checks, "pciback"), "cure"), "dracut"));
}
END_TEST

START_TEST(finds_each_fault) {
    QG_AUTO(json) json_t *card = make_card("pciback", "false");
    QG_AUTO(json) json_t *hidden = list_of("[\"01:00.0\", \"01:00.1\"]");
    QG_AUTO(json) json_t *running = list_of("[\"dom0\", \"work\"]");
    const struct qg_preflight_facts good = good_facts(card, hidden, running);
    struct qg_preflight_facts facts = good;
    facts.virt_caps = "pv hvm hap";
    check_one(&facts, "iommu", "fail", "virt_caps are pv hvm hap");
    facts = good;
    facts.source_found = 0;
    check_one(&facts, "template", "fail", "no template fedora-41-xfce");
    facts = good;
    facts.label_found = 0;
    check_one(&facts, "label", "fail", "no label yellow");
    facts = good;
    facts.memory_total = 4096;
    check_one(&facts, "memory", "fail", "3400 MiB");
    facts = good;
    facts.memory = 8000;
    check_one(&facts, "large_bar", "warn", "below 4 GiB");
    facts = good;
    facts.pool_usage = (int64_t)95 << 30;
    check_one(&facts, "pool", "fail", "5120 MiB left");
    facts = good;
    facts.source_os = "Windows";
    check_one(&facts, "kernel", "fail", "Windows");
    facts = good;
    facts.source = "debian-12-minimal";
    facts.source_distribution = "debian";
    check_one(&facts, "kernel", "warn", "minimal");
    facts = good;
    facts.card = NULL;
    facts.no_card = "device 'auto': no\ncard";
    check_one(&facts, "card", "fail", "device 'auto': no?card");
}
END_TEST

START_TEST(finds_faults_of_the_card) {
    QG_AUTO(json) json_t *hidden = list_of("[\"01:00.0\", \"01:00.1\"]");
    QG_AUTO(json) json_t *running = list_of("[\"dom0\", \"work\"]");
    QG_AUTO(json) json_t *shown = make_card("pciback", "true");
    struct qg_preflight_facts facts = good_facts(shown, hidden, running);
    check_one(&facts, "display", "fail", "freeze");
    facts.forced = true;
    check_one(&facts, "display", "warn", "freeze");
    QG_AUTO(json) json_t *card = make_card("pciback", "false");
    facts = good_facts(card, hidden, running);
    json_t *group = json_object_get(card, "group");
    json_object_set_new(group, "blocks", list_of("[\"0000:02:00.0\", \"0000:03:00.0\"]"));
    check_one(&facts, "group", "fail", "holds 0000:02:00.0 and 0000:03:00.0, too");
    json_object_set_new(group, "sure", json_string("unknown"));
    check_one(&facts, "group", "warn", "may hold");
    json_object_set_new(group, "blocks", json_array());
    json_object_set_new(card, "attached", list_of("[\"gpu\", \"work\"]"));
    check_one(&facts, "in_use", "fail", "the running qube work");
    facts.qube = "work";
    json_object_set_new(card, "attached", list_of("[\"work\"]"));
    check_one(&facts, "in_use", "ok", "1 other qube(s)");
}
END_TEST

/* Nothing but what qubesd says is known: no check fails, and each says how to look. */
START_TEST(says_what_is_not_known) {
    QG_AUTO(json) json_t *card = make_card(NULL, "null");
    json_object_set_new(card, "group", json_null());
    json_object_set_new(card, "memory", json_null());
    struct qg_preflight_facts facts = {.card = card,
                                       .source = "x",
                                       .source_found = QG_PREFLIGHT_UNKNOWN,
                                       .label = "red",
                                       .label_found = QG_PREFLIGHT_UNKNOWN,
                                       .memory = 400,
                                       .memory_total = QG_PREFLIGHT_UNKNOWN,
                                       .root_size = 1,
                                       .pool_size = QG_PREFLIGHT_UNKNOWN,
                                       .pool_usage = QG_PREFLIGHT_UNKNOWN};
    QG_AUTO(json) json_t *checks = qg_preflight(&facts, &err);
    ck_assert(qg_preflight_passed(checks));
    size_t i;
    json_t *item;
    json_array_foreach(checks, i, item) {
        const char *name = qg_value_get_text(item, "check");
        if (strcmp(name, "card") != 0 && strcmp(name, "large_bar") != 0)
            ck_assert_str_eq(qg_value_get_text(item, "status"), "warn");
    }
    facts.memory = facts.root_size = QG_PREFLIGHT_UNKNOWN;
    facts.source = facts.label = NULL;
    QG_AUTO(json) json_t *fewer = qg_preflight(&facts, &err);
    ck_assert_uint_eq(json_array_size(fewer), 7);
}
END_TEST

static void check_text(const json_t *card, bool hide, const char *text, const char *wanted) {
    QG_AUTO_STR char *out = qg_hidden_text(text, strlen(text), card, hide, &err);
    ck_assert_msg(out != NULL, "%s", err.text);
    ck_assert_str_eq(out, wanted);
}

START_TEST(hides_and_shows) {
    QG_AUTO(json) json_t *card = make_card("pciback", "false");
    check_text(card, true, "GRUB_CMDLINE_LINUX=\"quiet\"\n",
               "GRUB_CMDLINE_LINUX=\"quiet rd.qubes.hide_pci=01:00.0,01:00.1\"\n");
    check_text(card, true, "GRUB_CMDLINE_LINUX=\"rd.qubes.hide_pci=03:00.0,0000:01:00.1\"\n",
               "GRUB_CMDLINE_LINUX=\"rd.qubes.hide_pci=03:00.0,0000:01:00.1,01:00.0\"\n");
    check_text(card, true, "GRUB_CMDLINE_LINUX=\"rd.qubes.hide_pci=01:00.1,01:00.0\"\n",
               "GRUB_CMDLINE_LINUX=\"rd.qubes.hide_pci=01:00.1,01:00.0\"\n");
    check_text(card, false, "GRUB_CMDLINE_LINUX=\"rd.qubes.hide_pci=03:00.0,0000:01:00.1,01:00.0\"",
               "GRUB_CMDLINE_LINUX=\"rd.qubes.hide_pci=03:00.0\"");
    check_text(card, false, "GRUB_CMDLINE_LINUX=\"quiet rd.qubes.hide_pci=01:00.1,01:00.0\"",
               "GRUB_CMDLINE_LINUX=\"quiet\"");
    check_text(card, false, "X=1\n", "X=1\n");
    ck_assert_ptr_null(qg_hidden_text("A=\"", 3, card, true, &err));
    ck_assert_int_eq(err.kind, QG_ERR_PARSE);
}
END_TEST

Suite *qg_suite_gpu_preflight(void) {
    Suite *suite = suite_create("gpu_preflight");
    TCase *tcase = tcase_create("checks");
    tcase_add_test(tcase, passes_a_machine_in_order);
    tcase_add_test(tcase, follows_the_guides_steps);
    tcase_add_test(tcase, finds_each_fault);
    tcase_add_test(tcase, finds_faults_of_the_card);
    tcase_add_test(tcase, says_what_is_not_known);
    tcase_add_test(tcase, hides_and_shows);
    suite_add_tcase(suite, tcase);
    return suite;
}
