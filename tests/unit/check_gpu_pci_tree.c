/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Reading a sysfs tree that is laid out as the kernel does it. */
#include "gpu_pci.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

Suite *qg_suite_gpu_pci_tree(void);

static char root[64];
static struct qg_host *host;
static struct qg_err err;

static void put(const char *path, const void *bytes, size_t length) {
    char *folder = strdup(path);
    *strrchr(folder, '/') = '\0';
    ck_assert_int_eq(qg_host_mkdirs(host, folder, &err), 0);
    free(folder);
    ck_assert_int_eq(qg_host_write(host, path, bytes, length, 0644, NULL, &err), 0);
}

static void put_text(const char *folder, const char *name, const char *text) {
    char path[512];
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    put(path, text, strlen(text));
}

static void put_link(const char *folder, const char *name, const char *target) {
    char path[512];
    snprintf(path, sizeof(path), "%s%s/%s", root, folder, name);
    ck_assert_int_eq(symlink(target, path), 0);
}

static void put_device(const char *folder, const struct pci_space *space, const char *class_code) {
    char path[512], number[16];
    snprintf(path, sizeof(path), "%s/config", folder);
    put(path, space->bytes, space->length);
    snprintf(number, sizeof(number), "0x%02x%02x\n", space->bytes[1], space->bytes[0]);
    put_text(folder, "vendor", number);
    snprintf(number, sizeof(number), "0x%02x%02x\n", space->bytes[3], space->bytes[2]);
    put_text(folder, "device", number);
    put_text(folder, "class", class_code);
}

static void make_root(void) {
    snprintf(root, sizeof(root), "/tmp/qg-pci-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(root));
    err = (struct qg_err){0};
    host = qg_host_new(root, NULL, &err);
    ck_assert_ptr_nonnull(host);
}

static void drop_root(void) {
    qg_host_free(host);
    QG_AUTO(host) struct qg_host *machine = qg_host_new("", NULL, &err);
    ck_assert_int_eq(qg_host_remove_tree(machine, root, &err), 0);
}

#define PORT "/sys/devices/pci0000:00/0000:00:01.0"
#define CARD PORT "/0000:01:00.0"

static void put_machine(void) {
    struct pci_space port = space_new(0x8086, 0x460d, 0x060400, 1);
    space_buses(&port, 0, 1, 1);
    space_pcie(&port, QG_PCIE_ROOT_PORT);
    put_device(PORT, &port, "0x060400\n");
    struct pci_space card = space_new(0x10de, 0x2504, 0x030000, 0);
    put_device(CARD, &card, "0x030000\n");
    put_text(CARD, "boot_vga", "1\n");
    put_text(CARD, "subsystem_vendor", "0x1462\n");
    put_text(CARD, "subsystem_device", "0x397d\n");
    put_text(CARD, "resource", "0x0 0x0 0x0\n0x4000000000 0x400fffffff 0x14220c\n");
    put_link(CARD, "driver", "../../../../bus/pci/drivers/pciback");
    put_link(CARD, "iommu_group", "../../../../kernel/iommu_groups/17");
    /* What is no device: a class folder, a service of the port, a file, another bus. */
    put_text(PORT "/pci_bus/0000:01", "cpuaffinity", "f\n");
    put_text(PORT "/0000:00:01.0:pcie001", "uevent", "\n");
    put_text("/sys/devices/platform/0000:09:00.0", "vendor", "0x10de\n");
}

START_TEST(reads_a_machine) {
    put_machine();
    QG_AUTO(pci_tree) struct qg_pci_tree tree = {0};
    ck_assert_int_eq(qg_pci_tree_read(host, &tree, &err), 0);
    ck_assert_uint_eq(tree.count, 2);
    const struct qg_pci_device *port = &tree.devices[0], *card = &tree.devices[1];
    ck_assert_str_eq(port->bdf, "0000:00:01.0");
    ck_assert_uint_eq(port->parent, QG_PCI_NONE);
    ck_assert_int_eq(port->boot_vga, QG_PCI_UNKNOWN);
    ck_assert_int_eq(port->iommu_group, -1);
    ck_assert_ptr_null(port->driver);
    ck_assert_uint_eq(card->parent, 0);
    ck_assert_uint_eq(card->vendor, 0x10de);
    ck_assert_uint_eq(card->device, 0x2504);
    ck_assert_uint_eq(card->subsystem_vendor, 0x1462);
    ck_assert_uint_eq(card->subsystem_device, 0x397d);
    ck_assert_uint_eq(card->class_code, 0x030000);
    ck_assert_int_eq(card->boot_vga, QG_PCI_YES);
    ck_assert_str_eq(card->driver, "pciback");
    ck_assert_int_eq(card->iommu_group, 17);
    ck_assert_uint_eq(card->resources.largest, 256 << 20);
    ck_assert_uint_eq(qg_pci_tree_find(&tree, "0000:01:00.0"), 1);
    ck_assert_uint_eq(qg_pci_tree_find(&tree, "0000:01:00.1"), QG_PCI_NONE);
}
END_TEST

/* A controller with a domain of its own: what is behind it sits on a root bus. */
START_TEST(reads_domains_inside_devices) {
    struct pci_space vmd = space_new(0x8086, 0x467f, 0x010400, 0);
    struct pci_space port = space_new(0x8086, 0x464d, 0x060400, 1);
    put_device("/sys/devices/pci0000:00/0000:00:0e.0", &vmd, "0x010400\n");
    put_device("/sys/devices/pci0000:00/0000:00:0e.0/pci10000:e0/10000:e0:06.0", &port,
               "0x060400\n");
    QG_AUTO(pci_tree) struct qg_pci_tree tree = {0};
    ck_assert_int_eq(qg_pci_tree_read(host, &tree, &err), 0);
    ck_assert_uint_eq(tree.count, 2);
    ck_assert_str_eq(tree.devices[1].bdf, "10000:e0:06.0");
    ck_assert_uint_eq(tree.devices[1].parent, QG_PCI_NONE);
}
END_TEST

/* Only the bus's list is there: bridges are found by their numbers. */
START_TEST(reads_a_bare_list) {
    struct pci_space port = space_new(0x8086, 0x460d, 0x060400, 1);
    struct pci_space card = space_new(0x10de, 0x2504, 0x030000, 0);
    space_buses(&port, 0, 1, 1);
    put_device("/sys/bus/pci/devices/0000:00:01.0", &port, "0x060400\n");
    put_device("/sys/bus/pci/devices/0000:01:00.0", &card, "0x030000\n");
    put_text("/sys/bus/pci/devices/0000:1:00.0", "vendor", "0x1\n");
    QG_AUTO(pci_tree) struct qg_pci_tree tree = {0};
    ck_assert_int_eq(qg_pci_tree_read(host, &tree, &err), 0);
    ck_assert_uint_eq(tree.count, 2);
    ck_assert_uint_eq(tree.devices[1].parent, 0);
}
END_TEST

START_TEST(takes_files_that_say_nothing) {
    put_text("/sys/devices/pci0000:00/0000:00:02.0", "vendor", "garbage\n");
    put_text("/sys/devices/pci0000:00/0000:00:02.0", "class", "0xffffffffffffffffff\n");
    put_text("/sys/devices/pci0000:00/0000:00:02.0", "boot_vga", "\n");
    put_link("/sys/devices/pci0000:00/0000:00:02.0", "driver", "/d/\033[2Jx");
    put_link("/sys/devices/pci0000:00/0000:00:02.0", "iommu_group", "/g/-4");
    QG_AUTO(pci_tree) struct qg_pci_tree tree = {0};
    ck_assert_int_eq(qg_pci_tree_read(host, &tree, &err), 0);
    ck_assert_uint_eq(tree.count, 1);
    ck_assert_uint_eq(tree.devices[0].vendor, 0);
    ck_assert_int_eq(tree.devices[0].boot_vga, QG_PCI_UNKNOWN);
    ck_assert_int_eq(tree.devices[0].iommu_group, -1);
    ck_assert_str_eq(tree.devices[0].driver, "?[2Jx");
}
END_TEST

START_TEST(takes_a_machine_without_pci) {
    QG_AUTO(pci_tree) struct qg_pci_tree tree = {0};
    ck_assert_int_eq(qg_pci_tree_read(host, &tree, &err), 0);
    ck_assert_uint_eq(tree.count, 0);
    ck_assert_ptr_null(qg_pci_tree_add(&tree, "01:00.0", &err));
    ck_assert_int_eq(err.kind, QG_ERR_INVALID);
    static const char *const bad[] = {"0000:01:20.0", "0000:01:00.8",      "0000:01:00.0 ",
                                      "0000:01:00",   "123456789:01:00.0", ""};
    for (size_t i = 0; i < QG_ARRAY_LEN(bad); i++)
        ck_assert_ptr_null(qg_pci_tree_add(&tree, bad[i], NULL));
}
END_TEST

Suite *qg_suite_gpu_pci_tree(void) {
    Suite *suite = suite_create("gpu_pci_tree");
    TCase *tcase = tcase_create("sysfs");
    tcase_add_checked_fixture(tcase, make_root, drop_root);
    tcase_add_test(tcase, reads_a_machine);
    tcase_add_test(tcase, reads_domains_inside_devices);
    tcase_add_test(tcase, reads_a_bare_list);
    tcase_add_test(tcase, takes_files_that_say_nothing);
    tcase_add_test(tcase, takes_a_machine_without_pci);
    suite_add_tcase(suite, tcase);
    return suite;
}
