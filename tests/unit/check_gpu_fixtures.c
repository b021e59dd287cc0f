/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Computed groups against the kernel's own, on captured PCI trees (tests/data/pci). */
#include "base/text.h"
#include "gpu/iommu.h"

#include <check.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

Suite *qg_suite_gpu_fixtures(void);

static struct qg_err err;

static uint64_t number(const json_t *row, const char *key) {
    uint64_t value = 0;
    const char *text = qg_value_get_text(row, key);
    ck_assert(text && qg_text_to_hex(text, &value));
    return value;
}

static void read_config(const json_t *row, struct qg_pci_config *config) {
    const char *hex = qg_value_get_text(row, "config");
    size_t length = (size_t)json_integer_value(json_object_get(row, "length"));
    unsigned char bytes[QG_PCI_CONFIG_SIZE] = {0};
    ck_assert_uint_le(length, sizeof(bytes));
    ck_assert_uint_le(strlen(hex) / 2, length);
    for (size_t i = 0; hex[2 * i]; i++) {
        const char digits[] = {hex[2 * i], hex[2 * i + 1], '\0'};
        uint64_t byte;
        ck_assert(qg_text_to_hex(digits, &byte));
        bytes[i] = (unsigned char)byte;
    }
    qg_pci_config_parse(bytes, length, config);
}

static void read_row(struct qg_pci_tree *tree, const json_t *row) {
    struct qg_pci_device *device = qg_pci_tree_add(tree, qg_value_get_text(row, "bdf"), &err);
    ck_assert_msg(device != NULL, "%s", err.text);
    device->vendor = (uint16_t)number(row, "vendor");
    device->device = (uint16_t)number(row, "device");
    device->class_code = (uint32_t)number(row, "class");
    const char *parent = qg_value_get_text(row, "parent");
    if (parent)
        snprintf(device->parent_bdf, sizeof(device->parent_bdf), "%s", parent);
    const char *group = qg_value_get_text(row, "iommu_group");
    device->iommu_group = group ? atoi(group) : -1;
    read_config(row, &device->config);
}

static json_t *load(const char *path) {
    json_error_t problem;
    json_t *value = json_load_file(path, 0, &problem);
    ck_assert_msg(value != NULL, "%s: %s", path, problem.text);
    return value;
}

/* Two devices share a group exactly where the kernel says so. */
static void check_groups(const char *name, const struct qg_pci_tree *tree) {
    QG_AUTO(iommu) struct qg_iommu *iommu = qg_iommu_new(tree, &err);
    ck_assert_ptr_nonnull(iommu);
    for (size_t i = 0; i < tree->count; i++) {
        for (size_t j = 0; j < i; j++) {
            const struct qg_pci_device *a = &tree->devices[i], *b = &tree->devices[j];
            if (a->iommu_group < 0 || b->iommu_group < 0)
                continue;
            ck_assert_msg((qg_iommu_group(iommu, i) == qg_iommu_group(iommu, j)) ==
                              (a->iommu_group == b->iommu_group),
                          "%s: %s and %s are in the kernel's groups %d and %d", name, a->bdf,
                          b->bdf, a->iommu_group, b->iommu_group);
        }
    }
}

static bool check_file(const char *name) {
    char path[512];
    if (!qg_text_ends(name, ".json"))
        return false;
    snprintf(path, sizeof(path), "%s/pci/%s", QG_TEST_DATA, name);
    QG_AUTO(json) json_t *fixture = load(path);
    QG_AUTO(pci_tree) struct qg_pci_tree tree = {0};
    size_t i;
    json_t *row;
    json_array_foreach(json_object_get(fixture, "devices"), i, row) {
        read_row(&tree, row);
    }
    ck_assert_uint_gt(tree.count, 0);
    qg_pci_tree_connect(&tree);
    check_groups(name, &tree);
    return true;
}

START_TEST(computes_the_kernels_groups) {
    DIR *folder = opendir(QG_TEST_DATA "/pci");
    int files = 0;
    ck_assert_ptr_nonnull(folder);
    for (const struct dirent *entry; (entry = readdir(folder));)
        files += check_file(entry->d_name);
    closedir(folder);
    ck_assert_int_ge(files, 2);
}
END_TEST

Suite *qg_suite_gpu_fixtures(void) {
    Suite *suite = suite_create("gpu_fixtures");
    TCase *tcase = tcase_create("files");
    tcase_add_test(tcase, computes_the_kernels_groups);
    suite_add_tcase(suite, tcase);
    return suite;
}
