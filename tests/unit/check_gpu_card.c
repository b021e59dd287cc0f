/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Cards among dom0's devices, and which one somebody means. */
#include "gpu/card.h"
#include "gpu_pci.h"

#include <stdlib.h>

Suite *qg_suite_gpu_card(void);

/* Lines of Available, shortened: PORT, BDF or "", identity, vendor, product. */
struct line {
    const char *port, *bdf, *identity, *vendor, *product;
};

#define NV "NVIDIA Corporation"
#define INTEL                                                                                      \
    { "00_02.0", "0000:00:02.0", "0x8086:0x4680::p030000", "Intel Corporation", "UHD 770" }
#define CARD_1                                                                                     \
    {"00_01.0-00_00.1", "0000:01:00.1", "0x10de:0x228e::p040300", NV, "GA106 Audio"}, {            \
        "00_01.0-00_00.0", "0000:01:00.0", "0x10de:0x2504::p030000", NV,                           \
            "GA106 [GeForce RTX 3060]"                                                             \
    }
#define CARD_2                                                                                     \
    {"00_06.0-00_00.0", "0000:02:00.0", "0x10de:0x2504::p030000", NV, "GA106 [GeForce RTX 3060]"}, \
    {                                                                                              \
        "00_06.0-00_00.1", "0000:02:00.1", "0x10de:0x228e::p040300", NV, "GA106 Audio"             \
    }
#define RADEON                                                                                     \
    {                                                                                              \
        "00_07.0-00_00.0", "0000:03:00.0", "0x1002:0x73ff::p030000",                               \
            "Advanced Micro Devices, Inc. [AMD/ATI]", "Navi 23 [Radeon RX 6600]"                   \
    }

static struct qg_err err;

static json_t *available(const struct line *lines, size_t count) {
    json_t *list = json_array();
    for (size_t i = 0; i < count; i++) {
        json_t *line = json_pack("{s:s,s:s,s:s,s:s,s:s}", "port_id", lines[i].port, "device_id",
                                 lines[i].identity, "vendor", lines[i].vendor, "product",
                                 lines[i].product, "backend_domain", "dom0");
        const char *interface = strrchr(lines[i].identity, 'p');
        if (interface)
            json_object_set_new(line, "interfaces", json_string(interface));
        if (lines[i].bdf[0])
            json_object_set_new(line, "_sbdf", json_string(lines[i].bdf));
        json_array_append_new(list, line);
    }
    return list;
}

static json_t *find(const struct line *lines, size_t count, const struct qg_pci_tree *tree) {
    err = (struct qg_err){0};
    QG_AUTO(json) json_t *list = available(lines, count);
    json_t *cards = qg_cards_find(list, tree, &err);
    ck_assert_msg(cards != NULL, "%s", err.text);
    return cards;
}

#define FIND(lines, tree) find(lines, QG_ARRAY_LEN(lines), tree)

static void tree_add(struct qg_pci_tree *tree, const char *bdf, uint32_t ids, uint32_t class_code,
                     enum qg_pci_known boot, const char *driver) {
    struct qg_pci_device *device = qg_pci_tree_add(tree, bdf, &err);
    device->vendor = (uint16_t)(ids >> 16);
    device->device = (uint16_t)ids;
    device->class_code = class_code;
    device->boot_vga = boot;
    device->driver = driver ? strdup(driver) : NULL;
    device->resources.largest = 256 << 20;
}

static const char *text_of(const json_t *object, const char *key) {
    return qg_value_get_text(object, key);
}

/* What pick takes, by its address; refused: a part of the error. */
static void check_pick(const json_t *cards, const char *wanted, bool force, const char *bdf) {
    err = (struct qg_err){0};
    const json_t *card = qg_cards_pick(cards, wanted, force, &err);
    ck_assert_msg(card != NULL, "%s: %s", wanted, err.text);
    ck_assert_str_eq(text_of(card, "bdf"), bdf);
}

static void check_refused(const json_t *cards, const char *wanted, bool force, const char *why) {
    err = (struct qg_err){0};
    ck_assert_ptr_null(qg_cards_pick(cards, wanted, force, &err));
    ck_assert_int_eq(err.kind, QG_ERR_INVALID);
    ck_assert_msg(strstr(err.text, why) != NULL, "%s", err.text);
}

START_TEST(finds_all_functions_of_a_card) {
    static const struct line lines[] = {
        {"00_14.0", "0000:00:14.0", "0x8086:0x7ae0::p0c0330", "Intel Corporation", "USB"},
        CARD_1,
        INTEL,
        {"00_01.0-00_00.2", "0000:01:00.2", "0x10de:0x1ad8::p0c0330", NV, "USB 3.1"},
        {"00_01.0-00_00.3", "0000:01:00.3", "0x10de:0x1ad9::p0c8000", NV, "UCSI"},
        {"00_01.0-00_01.0", "0000:01:01.0", "0x10de:0xffff::p040300", NV, "Another slot"},
        {"nonsense", "", "*", "", ""},
    };
    QG_AUTO(json) json_t *cards = FIND(lines, NULL);
    ck_assert_uint_eq(json_array_size(cards), 2);
    const json_t *card = json_array_get(cards, 1);
    ck_assert_str_eq(text_of(card, "bdf"), "0000:01:00.0");
    ck_assert_str_eq(text_of(card, "identity"), "0x10de:0x2504::p030000");
    ck_assert_str_eq(text_of(card, "vendor_id"), "10de");
    ck_assert_str_eq(text_of(card, "class"), "030000");
    ck_assert(json_is_null(json_object_get(card, "display")));
    ck_assert(json_is_null(json_object_get(card, "group")));
    ck_assert(json_is_null(json_object_get(card, "memory")));
    const json_t *functions = json_object_get(card, "functions");
    ck_assert_uint_eq(json_array_size(functions), 4);
    ck_assert_str_eq(text_of(json_array_get(functions, 3), "kind"), "UCSI");
    QG_AUTO(json) json_t *refs = qg_card_refs(card, &err);
    ck_assert_uint_eq(json_array_size(refs), 4);
    ck_assert_str_eq(json_string_value(json_array_get(refs, 1)),
                     "00_01.0-00_00.0:0x10de:0x2504::p030000");
    QG_AUTO_STR char *text = qg_card_describe(card, &err);
    ck_assert_str_eq(text, "0000:01:00.0 " NV " GA106 [GeForce RTX 3060] (10de:2504)");
}
END_TEST

/* The computer's own /sys may be another one's: only what equals qubesd's words counts. */
START_TEST(believes_only_its_own_sysfs) {
    static const struct line lines[] = {CARD_1, INTEL};
    QG_AUTO(pci_tree) struct qg_pci_tree tree = {0};
    tree_add(&tree, "0000:00:02.0", 0x1af41050, 0x030000, QG_PCI_YES, "virtio-pci");
    tree_add(&tree, "0000:01:00.0", 0x10de2504, 0x030000, QG_PCI_NO, "pciback");
    tree_add(&tree, "0000:01:00.1", 0x10de228e, 0x040300, QG_PCI_UNKNOWN, "snd_hda_intel");
    qg_pci_tree_connect(&tree);
    QG_AUTO(json) json_t *cards = FIND(lines, &tree);
    const json_t *intel = json_array_get(cards, 0), *card = json_array_get(cards, 1);
    ck_assert(json_is_null(json_object_get(intel, "display")));
    ck_assert(json_is_false(json_object_get(card, "display")));
    ck_assert_int_eq(json_integer_value(json_object_get(card, "memory")), 256 << 20);
    const json_t *functions = json_object_get(card, "functions");
    ck_assert(json_is_false(json_object_get(json_array_get(functions, 0), "hidden")));
    ck_assert(json_is_true(json_object_get(json_array_get(functions, 1), "hidden")));
    ck_assert_str_eq(text_of(json_array_get(functions, 0), "driver"), "snd_hda_intel");
    ck_assert_uint_eq(json_array_size(json_object_get(json_object_get(card, "group"), "along")), 1);
}
END_TEST

START_TEST(knows_the_one_display) {
    static const struct line lines[] = {CARD_1, INTEL, CARD_2};
    QG_AUTO(pci_tree) struct qg_pci_tree tree = {0};
    tree_add(&tree, "0000:02:00.0", 0x10de2504, 0x030000, QG_PCI_YES, "nouveau");
    QG_AUTO(json) json_t *cards = FIND(lines, &tree);
    ck_assert(json_is_false(json_object_get(json_array_get(cards, 0), "display")));
    ck_assert(json_is_false(json_object_get(json_array_get(cards, 1), "display")));
    ck_assert(json_is_true(json_object_get(json_array_get(cards, 2), "display")));
    check_pick(cards, "auto", false, "0000:01:00.0");
    check_pick(cards, "nvidia", false, "0000:01:00.0");
    check_pick(cards, "10de:2504", true, "0000:01:00.0");
    check_refused(cards, "0000:02:00.0", false, "dom0's display");
    check_pick(cards, "0000:02:00.0", true, "0000:02:00.0");
}
END_TEST

START_TEST(picks_by_any_name) {
    static const struct line lines[] = {CARD_1, INTEL, RADEON};
    QG_AUTO(json) json_t *cards = FIND(lines, NULL);
    static const char *const names[] = {
        "auto",
        "nvidia",
        "NVIDIA",
        "10de",
        "0x10de",
        "10de:2504",
        "0x10de:0x2504",
        "10DE:2504",
        "rtx 3060",
        "GeForce",
        "01:00.0",
        "0000:01:00.1",
        "01_00.0",
        "00_01.0-00_00.1",
        "0x10de:0x228e::p040300",
        "*:0x10de:0x2504::p030000",
        "01:00.0:0x10de:0x2504::p030000",
        "00_01.0-00_00.0:0x10de:0x2504::p030000",
    };
    for (size_t i = 0; i < QG_ARRAY_LEN(names); i++)
        check_pick(cards, names[i], false, "0000:01:00.0");
    check_pick(cards, "amd", false, "0000:03:00.0");
    check_pick(cards, "radeon rx", false, "0000:03:00.0");
    check_pick(cards, "00:02.0", false, "0000:00:02.0");
    static const char *const none[] = {
        "",          " ",         "10d",     "04:00.0",         "rtx 9090",
        "10de:2505", "1002:2504", "01:00.2", "00_01.0-00_00.4", "01:00.0:0x10de:0xffff::p030000",
        "*:",        ":"};
    for (size_t i = 0; i < QG_ARRAY_LEN(none); i++)
        check_refused(cards, none[i], false, "no graphics card fits; dom0 has: 0000:00:02.0 Intel");
}
END_TEST

START_TEST(lists_cards_that_fit_alike) {
    static const struct line lines[] = {CARD_1, INTEL, CARD_2};
    QG_AUTO(json) json_t *cards = FIND(lines, NULL);
    check_refused(cards, "auto", false, "several cards fit");
    check_refused(cards, "auto", true, "0000:02:00.0 " NV);
    check_refused(cards, "*:0x10de:0x2504::p030000", false, "several cards fit");
    check_pick(cards, "02:00.0", false, "0000:02:00.0");
}
END_TEST

/* Nobody knows which card is dom0's display: auto takes one only beside integrated graphics. */
START_TEST(fails_closed_without_sysfs) {
    static const struct line one[] = {CARD_1};
    QG_AUTO(json) json_t *cards = FIND(one, NULL);
    check_refused(cards, "auto", false, "nothing tells whether the card is dom0's display");
    check_pick(cards, "01:00.0", false, "0000:01:00.0");
    static const struct line amd[] = {RADEON, INTEL};
    QG_AUTO(json) json_t *others = FIND(amd, NULL);
    check_pick(others, "auto", false, "0000:03:00.0");
    static const struct line integrated[] = {INTEL};
    QG_AUTO(json) json_t *intel = FIND(integrated, NULL);
    check_refused(intel, "auto", false, "no graphics card fits; dom0 has: 0000:00:02.0");
    QG_AUTO(json) json_t *nothing = find(NULL, 0, NULL);
    check_refused(nothing, "auto", false, "no graphics card at all");
}
END_TEST

/* A 3D controller draws nothing for the firmware, whatever sysfs says or not. */
START_TEST(takes_a_laptops_controller) {
    static const struct line lines[] = {
        {"00_01.0-00_00.0", "0000:01:00.0", "0x10de:0x25a2::p030200", NV, "GA107M"},
    };
    QG_AUTO(json) json_t *cards = FIND(lines, NULL);
    check_pick(cards, "auto", false, "0000:01:00.0");
    ck_assert_str_eq(text_of(json_array_get(cards, 0), "kind"), "3D");
}
END_TEST

/* R4.2: plain ports, no addresses beside them, no numbers. */
START_TEST(takes_old_listings) {
    QG_AUTO(json)
    json_t *list = json_pack("[{s:s,s:s,s:s,s:s,s:s},{s:s,s:s,s:s,s:s}]", "port_id", "01_00.0",
                             "device_id", "*", "interfaces", "p030000", "vendor", NV, "product",
                             "GA106", "port_id", "00_02.0", "device_id", "*", "interfaces",
                             "p030000", "vendor", "Intel Corporation");
    QG_AUTO(pci_tree) struct qg_pci_tree tree = {0};
    tree_add(&tree, "0000:01:00.0", 0x10de2504, 0x030000, QG_PCI_NO, "pciback");
    QG_AUTO(json) json_t *cards = qg_cards_find(list, &tree, &err);
    check_pick(cards, "auto", false, "0000:01:00.0");
    check_pick(cards, "10de:2504", false, "0000:01:00.0");
    QG_AUTO(json) json_t *refs = qg_card_refs(json_array_get(cards, 1), &err);
    ck_assert_str_eq(json_string_value(json_array_get(refs, 0)), "01_00.0");
    QG_AUTO(json) json_t *plain = qg_cards_find(list, NULL, &err);
    check_pick(plain, "nvidia", false, "0000:01:00.0");
    ck_assert(json_is_null(json_object_get(json_array_get(plain, 1), "vendor_id")));
}
END_TEST

START_TEST(notes_who_has_it) {
    static const struct line lines[] = {CARD_1, INTEL};
    QG_AUTO(json) json_t *cards = FIND(lines, NULL);
    QG_AUTO(json)
    json_t *has = json_pack(
        "[{s:s,s:s,s:s},{s:s,s:s},{s:s,s:s},{s:s}]", "port_id", "00_01.0-00_00.0", "device_id",
        "0x10de:0x2504::p030000", "backend_domain", "dom0", "port_id", "00_01.0-00_00.1",
        "device_id", "*", "port_id", "00_02.0", "device_id", "0x1:0x2::p030000", "device_id", "*");
    QG_AUTO(json)
    json_t *other =
        json_pack("[{s:s,s:s}]", "port_id", "00_01.0-00_00.0", "backend_domain", "sys-usb");
    ck_assert_int_eq(qg_cards_note_qube(cards, "gpu", has, false, &err), 0);
    ck_assert_int_eq(qg_cards_note_qube(cards, "gpu", has, false, &err), 0);
    ck_assert_int_eq(qg_cards_note_qube(cards, "work", has, true, &err), 0);
    ck_assert_int_eq(qg_cards_note_qube(cards, "no", other, true, &err), 0);
    const json_t *card = json_array_get(cards, 1);
    ck_assert_uint_eq(json_array_size(json_object_get(card, "assigned")), 1);
    ck_assert_uint_eq(json_array_size(json_object_get(card, "attached")), 1);
    const json_t *intel = json_array_get(cards, 0);
    ck_assert_uint_eq(json_array_size(json_object_get(intel, "assigned")), 0);
}
END_TEST

/* A card may say anything about itself; a terminal sees none of it. */
START_TEST(cleans_what_devices_say) {
    static const struct line lines[] = {
        {"00_01.0-00_00.0", "0000:01:00.0", "0x10de:0x2504::p030000", "N\033[2J\nV",
         "\xe2\x80\xae\r"},
        {"00_02.0", "", "0x:0x1::p03", "", ""},
        {"00_03.0", "", "0x8086:0x1::p0300zz", "", ""},
        {".", "", "p", "", ""},
    };
    QG_AUTO(json) json_t *cards = FIND(lines, NULL);
    ck_assert_uint_eq(json_array_size(cards), 1);
    const json_t *card = json_array_get(cards, 0);
    ck_assert_str_eq(text_of(card, "vendor"), "N?[2J?V");
    ck_assert_str_eq(text_of(card, "product"), "??");
}
END_TEST

Suite *qg_suite_gpu_card(void) {
    Suite *suite = suite_create("gpu_card");
    TCase *tcase = tcase_create("cards");
    tcase_add_test(tcase, finds_all_functions_of_a_card);
    tcase_add_test(tcase, believes_only_its_own_sysfs);
    tcase_add_test(tcase, knows_the_one_display);
    tcase_add_test(tcase, picks_by_any_name);
    tcase_add_test(tcase, lists_cards_that_fit_alike);
    tcase_add_test(tcase, fails_closed_without_sysfs);
    tcase_add_test(tcase, takes_a_laptops_controller);
    tcase_add_test(tcase, takes_old_listings);
    tcase_add_test(tcase, notes_who_has_it);
    tcase_add_test(tcase, cleans_what_devices_say);
    suite_add_tcase(suite, tcase);
    return suite;
}
