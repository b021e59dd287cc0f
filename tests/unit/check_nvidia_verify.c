/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "nvidia/verify.h"

#include <check.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

Suite *qg_suite_nvidia_verify(void);

/* What is seen of a qube, and what must be said of it. */
struct sight {
    const char *installed, *loaded, *driver; /* driver: of the card; NULL: no card; "": none */
    bool nodes, asked;
    enum qg_nvml_state state;
    int code;
    unsigned count;
    enum qg_verdict_kind kind;
    const char *words;
};

static void judge(const struct sight *sight) {
    struct qg_driver_facts facts = {.has_module = sight->installed != NULL};
    struct qg_verdict verdict = {.asked = sight->asked};
    verdict.nvml = (struct qg_nvml){
        .state = sight->state, .code = sight->code, .count = sight->count, .text = "so it says"};
    snprintf(verdict.nvml.cards[0].name, sizeof(verdict.nvml.cards[0].name), "NVIDIA H200");
    verdict.nvml.cards[0].memory = (uint64_t)143771 << 20;
    snprintf(verdict.nvml.cards[1].name, sizeof(verdict.nvml.cards[1].name), "NVIDIA L4");
    verdict.nvml.cards[1].memory = (uint64_t)23034 << 20;
    snprintf(facts.kernel, sizeof(facts.kernel), "6.1");
    snprintf(facts.booted, sizeof(facts.booted), "6.1");
    snprintf(facts.module.version, sizeof(facts.module.version), "%s",
             sight->installed ? sight->installed : "");
    snprintf(verdict.loaded, sizeof(verdict.loaded), "%s", sight->loaded);
    facts.cards = json_array();
    if (sight->driver)
        json_array_append_new(facts.cards,
                              json_pack("{s:s, s:s?}", "address", "0000:01:00.0", "driver",
                                        sight->driver[0] ? sight->driver : NULL));
    qg_driver_judge(&facts, sight->nodes, &verdict);
    ck_assert_msg(verdict.kind == sight->kind, "%s: %s", qg_verdict_name(verdict.kind),
                  verdict.text);
    ck_assert_msg(strstr(verdict.text, sight->words), "%s", verdict.text);
    json_decref(facts.cards);
}

START_TEST(each_case_has_its_own_words) {
    static const struct sight sights[] = {
        {.loaded = "", .driver = "", .kind = QG_VERDICT_MISSING, .words = "not installed for 6.1"},
        {.installed = "550.1",
         .loaded = "",
         .driver = "",
         .kind = QG_VERDICT_RESTART,
         .words = "not loaded yet: restart the qube"},
        {.installed = "550.1",
         .loaded = "",
         .kind = QG_VERDICT_NO_CARD,
         .words = "no NVIDIA card is attached"},
        {.installed = "550.1",
         .loaded = "",
         .driver = "nouveau",
         .kind = QG_VERDICT_NOUVEAU,
         .words = "nouveau holds the card 0000:01:00.0"},
        {.installed = "550.1",
         .loaded = "550.1",
         .driver = "nouveau",
         .kind = QG_VERDICT_NOUVEAU,
         .words = "nouveau was first"},
        {.installed = "550.1",
         .loaded = "550.1",
         .kind = QG_VERDICT_NO_CARD,
         .words = "is loaded, but no NVIDIA card"},
        {.installed = "550.1",
         .loaded = "550.1",
         .driver = "",
         .kind = QG_VERDICT_UNBOUND,
         .words = "it has no driver"},
        {.installed = "550.1",
         .loaded = "550.1",
         .driver = "vfio-pci",
         .kind = QG_VERDICT_UNBOUND,
         .words = "(vfio-pci)"},
        {.installed = "560.2",
         .loaded = "550.1",
         .driver = "nvidia",
         .kind = QG_VERDICT_OUTDATED,
         .words = "560.2 is installed, but 550.1 is loaded"},
        {.installed = "550.1",
         .loaded = "550.1",
         .driver = "nvidia",
         .kind = QG_VERDICT_NO_NODES,
         .words = "no /dev/nvidia* nodes"},
        {.installed = "550.1",
         .loaded = "550.1",
         .driver = "nvidia",
         .nodes = true,
         .kind = QG_VERDICT_LOADED,
         .words = "is loaded and has the card."},
        {.installed = "550.1",
         .loaded = "550.1",
         .driver = "nvidia",
         .asked = true,
         .count = 1,
         .kind = QG_VERDICT_WORKS,
         .words = "works: NVIDIA H200, 143771 MiB."},
        {.installed = "550.1",
         .loaded = "550.1",
         .driver = "nvidia",
         .asked = true,
         .count = 2,
         .kind = QG_VERDICT_WORKS,
         .words = "works: NVIDIA H200, 143771 MiB; NVIDIA L4, 23034 MiB."},
        {.installed = "550.1",
         .loaded = "550.1",
         .driver = "nvidia",
         .asked = true,
         .kind = QG_VERDICT_BLIND,
         .words = "NVML sees 0 of 1 cards"},
        {.installed = "550.1",
         .loaded = "550.1",
         .driver = "nvidia",
         .nodes = true,
         .asked = true,
         .state = QG_NVML_FAILED,
         .code = QG_NVML_ERROR_MISMATCH,
         .kind = QG_VERDICT_MISMATCH,
         .words = "library is of another version"},
        {.installed = "550.1",
         .loaded = "550.1",
         .driver = "nvidia",
         .nodes = true,
         .asked = true,
         .state = QG_NVML_FAILED,
         .code = QG_NVML_ERROR_OPERATING_SYSTEM,
         .kind = QG_VERDICT_BLIND,
         .words = "NVML fails: so it says (17)"},
        {.installed = "550.1",
         .loaded = "550.1",
         .driver = "nvidia",
         .asked = true,
         .state = QG_NVML_FAILED,
         .code = QG_NVML_ERROR_OPERATING_SYSTEM,
         .kind = QG_VERDICT_NO_NODES,
         .words = "no /dev/nvidia* nodes"},
        {.installed = "550.1",
         .loaded = "550.1",
         .driver = "nvidia",
         .nodes = true,
         .asked = true,
         .state = QG_NVML_NO_LIBRARY,
         .kind = QG_VERDICT_LOADED,
         .words = "cannot be loaded: so it says."},
        {.installed = "550.1",
         .loaded = "550.1",
         .driver = "nvidia",
         .asked = true,
         .state = QG_NVML_HANGS,
         .kind = QG_VERDICT_HANGS,
         .words = "does not answer"},
    };
    for (size_t i = 0; i < QG_ARRAY_LEN(sights); i++)
        judge(&sights[i]);
}
END_TEST

START_TEST(nvml_without_a_library_says_so) {
    if (access("/proc/driver/nvidia/version", F_OK) == 0)
        return;
    struct qg_deadline deadline = qg_deadline_in(20000);
    struct qg_nvml nvml;
    struct qg_err err = {0};
    ck_assert_int_eq(qg_nvml_ask(&deadline, &nvml, &err), 0);
    ck_assert_int_ne(nvml.state, QG_NVML_WORKS);
    ck_assert_uint_gt(strlen(nvml.text), 0);
}
END_TEST

/* On a machine with a card, and only there. */
START_TEST(nvml_with_a_card) {
    if (access("/proc/driver/nvidia/version", F_OK) != 0)
        return;
    struct qg_deadline deadline = qg_deadline_in(20000);
    struct qg_nvml nvml;
    struct qg_err err = {0};
    ck_assert_int_eq(qg_nvml_ask(&deadline, &nvml, &err), 0);
    ck_assert_msg(nvml.state == QG_NVML_WORKS, "NVML: %s (%d)", nvml.text, nvml.code);
    ck_assert_uint_ge(nvml.count, 1);
    ck_assert_uint_gt(strlen(nvml.driver), 0);
    ck_assert_uint_gt(strlen(nvml.cards[0].name), 0);
    ck_assert_uint_gt(nvml.cards[0].memory, (uint64_t)1 << 30);
}
END_TEST

/* What a machine with two real cards answered: from what was seen there follows what was said. */
START_TEST(a_recorded_machine_is_judged_as_it_was) {
    QG_AUTO(json)
    json_t *status = json_load_file(QG_TEST_DATA "/card/h100-two-status.json", 0, NULL);
    ck_assert_ptr_nonnull(status);
    const json_t *nvml = json_object_get(status, "nvml");
    struct qg_driver_facts facts = {.cards = json_object_get(status, "cards")};
    struct qg_verdict verdict = {.asked = true};
    snprintf(verdict.loaded, sizeof(verdict.loaded), "%s",
             qg_value_get_text(status, "loaded_version"));
    size_t index;
    json_t *card;
    json_array_foreach(json_object_get(nvml, "cards"), index, card) {
        snprintf(verdict.nvml.cards[index].name, sizeof(verdict.nvml.cards[index].name), "%s",
                 qg_value_get_text(card, "name"));
        verdict.nvml.cards[index].memory =
            (uint64_t)json_integer_value(json_object_get(card, "memory"));
        verdict.nvml.count++;
    }
    ck_assert_uint_eq(verdict.nvml.count, 2);
    qg_driver_judge(&facts, true, &verdict);
    ck_assert_str_eq(qg_verdict_name(verdict.kind), qg_value_get_text(status, "state"));
    ck_assert_str_eq(verdict.text, qg_value_get_text(status, "text"));
}
END_TEST

Suite *qg_suite_nvidia_verify(void) {
    Suite *suite = suite_create("nvidia verify");
    TCase *tests = tcase_create("verify");
    tcase_set_timeout(tests, 40);
    tcase_add_test(tests, each_case_has_its_own_words);
    tcase_add_test(tests, a_recorded_machine_is_judged_as_it_was);
    tcase_add_test(tests, nvml_without_a_library_says_so);
    tcase_add_test(tests, nvml_with_a_card);
    suite_add_tcase(suite, tests);
    return suite;
}
