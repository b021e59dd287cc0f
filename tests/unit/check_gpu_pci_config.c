/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Configuration spaces: whole, truncated and hostile ones. */
#include "gpu_pci.h"

#include <stdlib.h>

Suite *qg_suite_gpu_pci_config(void);

static struct qg_pci_config parse(const struct pci_space *space) {
    struct qg_pci_config config;
    qg_pci_config_parse(space->bytes, space->length, &config);
    return config;
}

START_TEST(reads_an_endpoint) {
    struct pci_space space = space_new(0x10de, 0x2504, 0x030000, 0x80);
    space_capability(&space, 0x01);
    space_pcie(&space, QG_PCIE_LEGACY_ENDPOINT);
    struct qg_pci_config config = parse(&space);
    ck_assert(config.header && config.multifunction && !config.bridge);
    ck_assert_uint_eq(config.vendor, 0x10de);
    ck_assert_uint_eq(config.device, 0x2504);
    ck_assert_uint_eq(config.class_code, 0x030000);
    ck_assert_int_eq(config.pcie, QG_PCI_YES);
    ck_assert_uint_eq(config.pcie_type, QG_PCIE_LEGACY_ENDPOINT);
    ck_assert_int_eq(config.acs, QG_PCI_NO);
}
END_TEST

START_TEST(reads_a_root_port) {
    struct pci_space space = space_new(0x8086, 0x460d, 0x060400, 1);
    space_buses(&space, 0, 1, 3);
    space_pcie(&space, QG_PCIE_ROOT_PORT);
    space_extended(&space, 0x0001);
    space_acs(&space, 0x1f, 0x1d);
    struct qg_pci_config config = parse(&space);
    ck_assert(config.bridge);
    ck_assert_uint_eq(config.primary, 0);
    ck_assert_uint_eq(config.secondary, 1);
    ck_assert_uint_eq(config.subordinate, 3);
    ck_assert_int_eq(config.acs, QG_PCI_YES);
    ck_assert_uint_eq(config.acs_capability & 0xffff, 0x1f);
    ck_assert_uint_eq(config.acs_control, 0x1d);
}
END_TEST

START_TEST(knows_what_it_cannot_know) {
    struct pci_space space = space_new(0x8086, 0x460d, 0x060400, 1);
    space_pcie(&space, QG_PCIE_ROOT_PORT);
    space_acs(&space, 0x1d, 0x1d);
    space.length = QG_PCI_HEADER_SIZE;
    struct qg_pci_config config = parse(&space);
    ck_assert(config.header && config.bridge);
    ck_assert_int_eq(config.pcie, QG_PCI_UNKNOWN);
    ck_assert_int_eq(config.acs, QG_PCI_UNKNOWN);
    space.length = QG_PCI_CONVENTIONAL_SIZE;
    config = parse(&space);
    ck_assert_int_eq(config.pcie, QG_PCI_YES);
    ck_assert_int_eq(config.acs, QG_PCI_UNKNOWN);
    space.length = 0x106; /* the capability's head, not its control word */
    ck_assert_int_eq(parse(&space).acs, QG_PCI_UNKNOWN);
    /* A device without any list says so within its first bytes. */
    struct pci_space old = space_new(0x8086, 0x4680, 0x030000, 0);
    old.length = QG_PCI_HEADER_SIZE;
    ck_assert_int_eq(parse(&old).pcie, QG_PCI_NO);
    ck_assert_int_eq(parse(&old).acs, QG_PCI_NO);
}
END_TEST

START_TEST(takes_a_device_that_is_gone) {
    struct pci_space space = {.length = QG_PCI_CONFIG_SIZE};
    memset(space.bytes, 0xff, sizeof(space.bytes));
    struct qg_pci_config config = parse(&space);
    ck_assert(!config.header && !config.bridge);
    ck_assert_int_eq(config.pcie, QG_PCI_UNKNOWN);
    memset(space.bytes, 0, sizeof(space.bytes));
    ck_assert(!parse(&space).header);
}
END_TEST

/* Every length of a whole space, each in an allocation of its own size: a read too far is seen. */
START_TEST(reads_no_byte_too_many) {
    struct pci_space space = space_new(0x8086, 0x460d, 0x060400, 0x81);
    space_capability(&space, 0x05);
    space_pcie(&space, QG_PCIE_ROOT_PORT);
    space_extended(&space, 0x0001);
    space_acs(&space, 0x1d, 0x1d);
    for (size_t length = 0; length <= 0x200; length++) {
        unsigned char *exact = malloc(length ? length : 1);
        ck_assert_ptr_nonnull(exact);
        memcpy(exact, space.bytes, length);
        struct qg_pci_config config;
        qg_pci_config_parse(exact, length, &config);
        ck_assert_uint_eq(config.length, length);
        ck_assert(config.header == (length >= QG_PCI_HEADER_SIZE));
        free(exact);
    }
}
END_TEST

START_TEST(ends_lists_that_loop) {
    struct pci_space space = space_new(0x8086, 0x1901, 0x060400, 1);
    size_t first = space_capability(&space, 0x05);
    size_t second = space_capability(&space, 0x05);
    space.bytes[second + 1] = (unsigned char)first;
    enum qg_pci_known known;
    ck_assert_uint_eq(qg_pci_find_capability(space.bytes, 256, 0x10, &known), 0);
    ck_assert_int_eq(known, QG_PCI_NO);
    space.bytes[second + 1] = (unsigned char)(second | 3); /* itself, reserved bits set */
    ck_assert_uint_eq(qg_pci_find_capability(space.bytes, 256, 0x10, NULL), 0);
    space.bytes[second + 1] = 0x20; /* into the header */
    ck_assert_uint_eq(qg_pci_find_capability(space.bytes, 256, 0x10, NULL), 0);

    space_pcie(&space, QG_PCIE_ROOT_PORT);
    size_t one = space_extended(&space, 0x0001);
    size_t two = space_extended(&space, 0x0002);
    space_put(&space, two, 0x0002u | 1u << 16 | (uint32_t)one << 20, 4);
    ck_assert_uint_eq(qg_pci_find_extended(space.bytes, 4096, 0x000d, &known), 0);
    ck_assert_int_eq(known, QG_PCI_NO);
    space_put(&space, two, 0x0002u | 1u << 16 | 0x040u << 20, 4); /* before the extended space */
    ck_assert_uint_eq(qg_pci_find_extended(space.bytes, 4096, 0x000d, NULL), 0);
    space_put(&space, two, 0x0002u | 1u << 16 | 0xfffu << 20, 4); /* its last double word */
    ck_assert_uint_eq(qg_pci_find_extended(space.bytes, 4096, 0x000d, NULL), 0);
}
END_TEST

/* Any bytes at all: a fixed random sequence, so that a failure comes again. */
START_TEST(takes_any_bytes) {
    static unsigned char bytes[QG_PCI_CONFIG_SIZE];
    uint32_t state = 12345;
    for (int round = 0; round < 400; round++) {
        for (size_t i = 0; i < sizeof(bytes); i++) {
            state = state * 1664525u + 1013904223u;
            bytes[i] = (unsigned char)(state >> 24);
        }
        struct qg_pci_config config;
        qg_pci_config_parse(bytes, sizeof(bytes) - (size_t)round, &config);
        ck_assert_uint_eq(config.length, sizeof(bytes) - (size_t)round);
    }
}
END_TEST

START_TEST(reads_bar_sizes) {
    struct qg_pci_resources resources;
    qg_pci_resources_parse("0x00000000a0000000 0x00000000a0ffffff 0x0000000000040200\n"
                           "0x0000004000000000 0x00000041ffffffff 0x000000000014220c\n"
                           "0x0000000000000000 0x0000000000000000 0x0000000000000000\n"
                           "0x000000000000e000 0x000000000000e07f 0x0000000000040101\n",
                           &resources);
    ck_assert_uint_eq(resources.largest, (uint64_t)8 << 30);
    ck_assert_uint_eq(resources.total, ((uint64_t)8 << 30) + (16 << 20));
    qg_pci_resources_parse("", &resources);
    ck_assert_uint_eq(resources.total, 0);
    qg_pci_resources_parse("no\n0x10 0x5 0x200\n0x0 0xffffffffffffffff 0x200\n"
                           "0x1 0xffffffffffffffff 0x200\n0x1 0x2 0x200",
                           &resources);
    ck_assert_uint_eq(resources.total, UINT64_MAX);
    /* The ROM and a bridge's windows (lines 7 to 13) are no BARs. */
    qg_pci_resources_parse("0x0 0x0 0x0\n0x0 0x0 0x0\n0x0 0x0 0x0\n0x0 0x0 0x0\n0x0 0x0 0x0\n"
                           "0x0 0x0 0x0\n0x1000 0x1fff 0x200\n",
                           &resources);
    ck_assert_uint_eq(resources.total, 0);
}
END_TEST

START_TEST(names_every_type) {
    for (unsigned type = 0; type < 256; type++)
        ck_assert_str_ne(qg_pcie_type_name((uint8_t)type), "");
    ck_assert_str_eq(qg_pcie_type_name(QG_PCIE_ROOT_PORT), "root port");
    ck_assert_str_eq(qg_pcie_type_name(2), "unknown");
}
END_TEST

Suite *qg_suite_gpu_pci_config(void) {
    Suite *suite = suite_create("gpu_pci_config");
    TCase *tcase = tcase_create("bytes");
    tcase_add_test(tcase, reads_an_endpoint);
    tcase_add_test(tcase, reads_a_root_port);
    tcase_add_test(tcase, knows_what_it_cannot_know);
    tcase_add_test(tcase, takes_a_device_that_is_gone);
    tcase_add_test(tcase, reads_no_byte_too_many);
    tcase_add_test(tcase, ends_lists_that_loop);
    tcase_add_test(tcase, takes_any_bytes);
    tcase_add_test(tcase, reads_bar_sizes);
    tcase_add_test(tcase, names_every_type);
    suite_add_tcase(suite, tcase);
    return suite;
}
