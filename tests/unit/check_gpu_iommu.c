/* SPDX-License-Identifier: GPL-3.0-or-later */
/* IOMMU groups of trees built from the PCI specification. */
#include "gpu/iommu.h"
#include "gpu_pci.h"

#include <stdlib.h>

Suite *qg_suite_gpu_iommu(void);

/* Comma-separated texts of a list. */
static void check_list(const json_t *value, const char *key, const char *wanted) {
    char found[256] = "";
    size_t i;
    json_t *item;
    json_array_foreach(json_object_get(value, key), i, item) {
        strcat(strcat(found, i ? "," : ""), json_string_value(item));
    }
    ck_assert_str_eq(found, wanted);
}

/* The group of one device of the rows. */
static void check_group(const struct tree_row *rows, size_t count, const char *bdf,
                        const char *along, const char *bridges, const char *blocks,
                        const char *sure, const char *reason) {
    QG_AUTO(pci_tree) struct qg_pci_tree tree = {0};
    struct qg_err err = {0};
    tree_from(&tree, rows, count);
    QG_AUTO(iommu) struct qg_iommu *iommu = qg_iommu_new(&tree, &err);
    ck_assert_ptr_nonnull(iommu);
    size_t device = qg_pci_tree_find(&tree, bdf);
    ck_assert_uint_ne(device, QG_PCI_NONE);
    QG_AUTO(json) json_t *value = qg_iommu_value(iommu, device, &err);
    ck_assert_ptr_nonnull(value);
    check_list(value, "along", along);
    check_list(value, "bridges", bridges);
    check_list(value, "blocks", blocks);
    ck_assert_str_eq(qg_value_get_text(value, "sure"), sure);
    ck_assert_msg(strstr(qg_value_get_text(value, "reason"), reason) != NULL, "%s",
                  qg_value_get_text(value, "reason"));
}

#define CHECK_GROUP(rows, ...) check_group(rows, QG_ARRAY_LEN(rows), __VA_ARGS__)

#define HOST                                                                                       \
    { "0000:00:00.0", NULL, 0x8086, 0x4660, 0x060000, -1, ACS_NONE, false, 0 }
#define CARD(bus, parent)                                                                          \
    {"0000:" bus ":00.0",     parent,   0x10de, 0x2504, 0x030000,                                  \
     QG_PCIE_LEGACY_ENDPOINT, ACS_NONE, true,   0},                                                \
    {                                                                                              \
        "0000:" bus ":00.1", parent, 0x10de, 0x228e, 0x040300, QG_PCIE_ENDPOINT, ACS_NONE, true, 0 \
    }

START_TEST(separates_behind_a_port_with_acs) {
    static const struct tree_row rows[] = {
        HOST,
        {"0000:00:01.0", NULL, 0x8086, 0x460d, 0x060400, QG_PCIE_ROOT_PORT, ACS_ON, false, 0},
        {"0000:00:02.0", NULL, 0x8086, 0x4680, 0x030000, QG_PCIE_INTEGRATED, ACS_NONE, false, 0},
        CARD("01", "0000:00:01.0"),
    };
    CHECK_GROUP(rows, "0000:01:00.0", "0000:01:00.1", "", "", "certain", "separates");
    CHECK_GROUP(rows, "0000:01:00.1", "0000:01:00.0", "", "", "certain", "");
    CHECK_GROUP(rows, "0000:00:01.0", "", "", "", "certain", "separates");
    CHECK_GROUP(rows, "0000:00:02.0", "", "", "", "certain", "separates");
    CHECK_GROUP(rows, "0000:00:00.0", "", "", "", "certain", "separates");
}
END_TEST

/* One card on a slot without ACS, another device behind the next function: all in one. */
START_TEST(joins_ports_of_one_slot_without_acs) {
    static const struct tree_row rows[] = {
        HOST,
        {"0000:00:01.0", NULL, 0x8086, 0x1901, 0x060400, QG_PCIE_ROOT_PORT, ACS_NONE, true, 0},
        {"0000:00:01.1", NULL, 0x8086, 0x1905, 0x060400, QG_PCIE_ROOT_PORT, ACS_NONE, true, 0},
        CARD("01", "0000:00:01.0"),
        {"0000:02:00.0", "0000:00:01.1", 0x1b21, 0x2142, 0x0c0330, QG_PCIE_ENDPOINT, ACS_NONE,
         false, 0},
    };
    CHECK_GROUP(rows, "0000:01:00.0", "0000:01:00.1", "0000:00:01.0,0000:00:01.1", "0000:02:00.0",
                "certain", "0000:00:01.0 has no ACS");
}
END_TEST

START_TEST(says_when_acs_is_switched_off) {
    static const struct tree_row rows[] = {
        {"0000:00:01.0", NULL, 0x1022, 0x14db, 0x060400, QG_PCIE_ROOT_PORT, ACS_OFF, false, 0},
        CARD("01", "0000:00:01.0"),
    };
    CHECK_GROUP(rows, "0000:01:00.0", "0000:01:00.1", "0000:00:01.0", "", "certain",
                "0000:00:01.0 has ACS switched off");
}
END_TEST

/* A switch: the card below one port, a network card below the other. */
START_TEST(looks_into_switches) {
    struct tree_row rows[] = {
        {"0000:00:01.0", NULL, 0x1022, 0x1453, 0x060400, QG_PCIE_ROOT_PORT, ACS_ON, false, 0},
        {"0000:01:00.0", "0000:00:01.0", 0x1002, 0x1478, 0x060400, QG_PCIE_UPSTREAM, ACS_NONE,
         false, 0},
        {"0000:02:00.0", "0000:01:00.0", 0x1002, 0x1479, 0x060400, QG_PCIE_DOWNSTREAM, ACS_ON,
         false, 0},
        {"0000:02:01.0", "0000:01:00.0", 0x1002, 0x1479, 0x060400, QG_PCIE_DOWNSTREAM, ACS_ON,
         false, 0},
        CARD("03", "0000:02:00.0"),
        {"0000:04:00.0", "0000:02:01.0", 0x8086, 0x1533, 0x020000, QG_PCIE_ENDPOINT, ACS_NONE,
         false, 0},
    };
    CHECK_GROUP(rows, "0000:03:00.0", "0000:03:00.1", "", "", "certain", "");
    CHECK_GROUP(rows, "0000:04:00.0", "", "", "", "certain", "separates");
    /* Without ACS below, traffic turns round in the switch: all behind the root port share. */
    rows[2].acs = rows[3].acs = ACS_NONE;
    CHECK_GROUP(rows, "0000:03:00.0", "0000:03:00.1", "0000:02:00.0", "", "certain",
                "0000:02:00.0 has no ACS");
    /* A root port that lets it pass takes the whole switch in. */
    rows[0].acs = ACS_NONE;
    CHECK_GROUP(rows, "0000:03:00.0", "0000:03:00.1",
                "0000:00:01.0,0000:01:00.0,0000:02:00.0,0000:02:01.0", "0000:04:00.0", "certain",
                "has no ACS");
}
END_TEST

START_TEST(gives_conventional_buses_one_address) {
    static const struct tree_row rows[] = {
        {"0000:00:1c.0", NULL, 0x8086, 0x1e10, 0x060400, QG_PCIE_ROOT_PORT, ACS_NONE, true, 0},
        {"0000:00:1e.0", NULL, 0x8086, 0x244e, 0x060401, -1, ACS_NONE, false, 0},
        {"0000:01:00.0", "0000:00:1c.0", 0x1b21, 0x1080, 0x060400, QG_PCIE_TO_PCI, ACS_NONE, false,
         0},
        {"0000:02:00.0", "0000:01:00.0", 0x10de, 0x0040, 0x030000, -1, ACS_NONE, false, 0},
        {"0000:02:01.0", "0000:01:00.0", 0x1102, 0x0002, 0x040100, -1, ACS_NONE, false, 0},
        {"0000:03:00.0", "0000:00:1e.0", 0x104c, 0x8023, 0x0c0010, -1, ACS_NONE, false, 0},
    };
    CHECK_GROUP(rows, "0000:02:00.0", "", "0000:01:00.0", "0000:02:01.0", "likely",
                "0000:01:00.0 gives everything behind it one address");
    CHECK_GROUP(rows, "0000:03:00.0", "", "0000:00:1e.0", "", "certain", "0000:00:1e.0 gives");
    CHECK_GROUP(rows, "0000:00:1c.0", "", "", "", "likely", "Intel chipset");
}
END_TEST

START_TEST(keeps_conventional_functions_together) {
    static const struct tree_row rows[] = {
        {"0000:00:1f.0", NULL, 0x8086, 0x7a84, 0x060100, -1, ACS_NONE, true, 0},
        {"0000:00:1f.3", NULL, 0x8086, 0x7ad0, 0x040300, -1, ACS_NONE, false, 0},
        {"0000:00:1f.6", NULL, 0x8086, 0x1a1c, 0x020000, -1, ACS_NONE, false, 0},
        {"0000:00:14.0", NULL, 0x8086, 0x7ae0, 0x0c0330, -1, ACS_NONE, false, 0},
    };
    CHECK_GROUP(rows, "0000:00:1f.6", "0000:00:1f.3", "0000:00:1f.0", "", "certain",
                "conventional PCI");
    CHECK_GROUP(rows, "0000:00:14.0", "", "", "", "certain", "separates");
}
END_TEST

START_TEST(says_when_it_cannot_know) {
    struct tree_row rows[] = {
        {"0000:00:01.0", NULL, 0x8086, 0x460d, 0x060400, QG_PCIE_ROOT_PORT, ACS_ON, false, 64},
        CARD("01", "0000:00:01.0"),
    };
    CHECK_GROUP(rows, "0000:01:00.0", "0000:01:00.1", "0000:00:01.0", "", "unknown",
                "could not be read beyond the first bytes");
    rows[0].length = 256;
    CHECK_GROUP(rows, "0000:01:00.0", "0000:01:00.1", "0000:00:01.0", "", "unknown",
                "the real group may be smaller");
}
END_TEST

START_TEST(takes_exceptions_for_likely) {
    static const struct tree_row rows[] = {
        {"0000:00:1c.0", NULL, 0x8086, 0x8c10, 0x060400, QG_PCIE_ROOT_PORT, ACS_NONE, true, 0},
        {"0000:00:1c.4", NULL, 0x8086, 0x8c18, 0x060400, QG_PCIE_ROOT_PORT, ACS_NONE, true, 0},
        CARD("01", "0000:00:1c.0"),
        {"0000:02:00.0", "0000:00:1c.4", 0x8086, 0x10c9, 0x020000, QG_PCIE_ENDPOINT, ACS_NONE, true,
         0},
        {"0000:02:00.1", "0000:00:1c.4", 0x8086, 0x10c9, 0x020000, QG_PCIE_ENDPOINT, ACS_NONE, true,
         0},
        {"0000:00:01.0", NULL, 0x8086, 0x460d, 0x060400, QG_PCIE_ROOT_PORT, ACS_ON, false, 0},
        {"0000:03:00.0", "0000:00:01.0", 0x8086, 0x10c9, 0x020000, QG_PCIE_ENDPOINT, ACS_NONE, true,
         0},
        {"0000:03:00.1", "0000:00:01.0", 0x8086, 0x10c9, 0x020000, QG_PCIE_ENDPOINT, ACS_NONE, true,
         0},
        {"0000:00:02.0", NULL, 0x8086, 0x4680, 0x030000, QG_PCIE_INTEGRATED, ACS_NONE, true, 0},
        {"0000:00:02.1", NULL, 0x8086, 0x4680, 0x038000, QG_PCIE_INTEGRATED, ACS_NONE, true, 0},
        {"0000:00:14.0", NULL, 0x1002, 0x4385, 0x0c0500, -1, ACS_NONE, true, 0},
        {"0000:00:14.2", NULL, 0x1002, 0x4383, 0x040300, -1, ACS_NONE, true, 0},
    };
    CHECK_GROUP(rows, "0000:01:00.0", "0000:01:00.1", "", "", "likely",
                "0000:00:1c.0 is a root port of an Intel chipset");
    CHECK_GROUP(rows, "0000:02:00.0", "", "", "", "likely", "0000:00:1c.4 is a root port");
    CHECK_GROUP(rows, "0000:03:00.0", "", "", "", "likely", "maker vouches");
    CHECK_GROUP(rows, "0000:00:02.0", "", "", "", "likely", "integrated endpoint of Intel");
    CHECK_GROUP(rows, "0000:00:14.2", "", "", "", "likely", "southbridge");
}
END_TEST

/* The 100 to 300 series' control register lies where the specification has nothing. */
START_TEST(reads_wide_acs_registers) {
    for (uint32_t control = 0; control <= 0x1d; control += 0x1d) {
        struct pci_space space = space_new(0x8086, 0xa110, 0x060400, 1);
        space_pcie(&space, QG_PCIE_ROOT_PORT);
        size_t at = space_extended(&space, 0x000d);
        space_put(&space, at + 4, 0x1f, 4);
        space_put(&space, at + 8, control, 4);
        QG_AUTO(pci_tree) struct qg_pci_tree tree = {0};
        static const struct tree_row card[] = {CARD("01", NULL)};
        struct qg_err err = {0};
        struct qg_pci_device *port = qg_pci_tree_add(&tree, "0000:00:1c.0", &err);
        qg_pci_config_parse(space.bytes, space.length, &port->config);
        port->config.secondary = 1;
        port->vendor = 0x8086;
        port->device = 0xa110;
        tree_from(&tree, card, QG_ARRAY_LEN(card));
        QG_AUTO(iommu) struct qg_iommu *iommu = qg_iommu_new(&tree, &err);
        ck_assert_uint_eq(tree.devices[1].parent, 0);
        ck_assert(qg_iommu_group(iommu, 1) == qg_iommu_group(iommu, 2));
        ck_assert((qg_iommu_group(iommu, 0) != qg_iommu_group(iommu, 1)) == (control != 0));
        ck_assert_int_eq(qg_iommu_sure(iommu, qg_iommu_group(iommu, 1)), QG_IOMMU_LIKELY);
    }
}
END_TEST

START_TEST(joins_functions_that_share_an_address) {
    static const struct tree_row rows[] = {
        {"0000:00:01.0", NULL, 0x1022, 0x14db, 0x060400, QG_PCIE_ROOT_PORT, ACS_ON, false, 0},
        {"0000:01:00.0", "0000:00:01.0", 0x1180, 0xe823, 0x080500, QG_PCIE_ENDPOINT, ACS_ON, true,
         0},
        {"0000:01:00.3", "0000:00:01.0", 0x1180, 0xe832, 0x0c0010, QG_PCIE_ENDPOINT, ACS_ON, true,
         0},
    };
    CHECK_GROUP(rows, "0000:01:00.3", "0000:01:00.0", "", "", "likely",
                "uses the address of another function");
}
END_TEST

/* Bus numbers and parents that make circles, devices behind themselves, a card on bus 0. */
START_TEST(survives_lying_topology) {
    static const struct tree_row rows[] = {
        {"0000:00:01.0", "0000:01:00.0", 0x8086, 0x460d, 0x060400, QG_PCIE_ROOT_PORT, ACS_ON, false,
         0},
        {"0000:01:00.0", "0000:02:00.0", 0x8086, 0x460d, 0x060400, QG_PCIE_UPSTREAM, ACS_ON, false,
         0},
        {"0000:02:00.0", "0000:02:00.0", 0x8086, 0x460d, 0x060400, QG_PCIE_DOWNSTREAM, ACS_ON,
         false, 0},
        {"0001:03:00.0", "0000:02:00.0", 0x10de, 0x2504, 0x030000, QG_PCIE_ENDPOINT, ACS_NONE,
         false, 0},
        {"0000:04:00.0", "0000:ff:00.0", 0x10de, 0x2504, 0x030000, QG_PCIE_ENDPOINT, ACS_NONE,
         false, 0},
    };
    CHECK_GROUP(rows, "0001:03:00.0", "", "", "", "certain", "");
    CHECK_GROUP(rows, "0000:04:00.0", "", "", "", "certain", "");
    CHECK_GROUP(rows, "0000:02:00.0", "", "", "", "certain", "");
}
END_TEST

START_TEST(takes_an_empty_machine) {
    struct qg_pci_tree tree = {0};
    struct qg_err err = {0};
    qg_pci_tree_connect(&tree);
    QG_AUTO(iommu) struct qg_iommu *iommu = qg_iommu_new(&tree, &err);
    ck_assert_uint_eq(qg_iommu_count(iommu), 0);
}
END_TEST

Suite *qg_suite_gpu_iommu(void) {
    Suite *suite = suite_create("gpu_iommu");
    TCase *tcase = tcase_create("groups");
    tcase_add_test(tcase, separates_behind_a_port_with_acs);
    tcase_add_test(tcase, joins_ports_of_one_slot_without_acs);
    tcase_add_test(tcase, says_when_acs_is_switched_off);
    tcase_add_test(tcase, looks_into_switches);
    tcase_add_test(tcase, gives_conventional_buses_one_address);
    tcase_add_test(tcase, keeps_conventional_functions_together);
    tcase_add_test(tcase, says_when_it_cannot_know);
    tcase_add_test(tcase, takes_exceptions_for_likely);
    tcase_add_test(tcase, reads_wide_acs_registers);
    tcase_add_test(tcase, joins_functions_that_share_an_address);
    tcase_add_test(tcase, survives_lying_topology);
    tcase_add_test(tcase, takes_an_empty_machine);
    suite_add_tcase(suite, tcase);
    return suite;
}
