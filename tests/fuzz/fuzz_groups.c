/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Trees of PCI devices, ROW bytes each, and their IOMMU groups. The groups share out the devices;
 * the order in which these were found means nothing; and whoever may read less of their
 * configuration never takes apart what belongs together. */
#include "fuzz.h"

#include "gpu/iommu.h"

enum { ROW = 9, DEVICES_MAX = 12 };

/* Vendors and devices with and without exceptions of their own. */
static const uint32_t ids[] = {0x10de2504, 0x80861901, 0x8086a110, 0x80861c10,
                               0x10021714, 0x1b4b9123, 0x80861521, 0x1022aaaa};
static const uint32_t classes[] = {0x030000, 0x040300, 0x060400, 0x0c0330};

static void fill(struct qg_pci_device *device, const uint8_t *row, bool blind) {
    uint32_t id = ids[row[2] % QG_ARRAY_LEN(ids)];
    struct qg_pci_config *config = &device->config;
    device->vendor = (uint16_t)(id >> 16);
    device->device = (uint16_t)id;
    device->class_code = classes[row[2] >> 3 & 3];
    *config = (struct qg_pci_config){.header = true,
                                     .vendor = device->vendor,
                                     .device = device->device,
                                     .class_code = device->class_code,
                                     .multifunction = row[3] & 1,
                                     .bridge = row[3] & 2,
                                     .secondary = (uint8_t)(device->bus + 1 + row[4] % 3)};
    config->subordinate = (uint8_t)(config->secondary + row[5] % 3);
    if (blind)
        return;
    config->pcie = row[6] % 3;
    config->pcie_type = config->pcie == QG_PCI_YES ? row[7] & 0xf : 0;
    config->acs = config->pcie == QG_PCI_NO ? QG_PCI_NO : row[6] / 3 % 3;
    if (config->acs == QG_PCI_YES) {
        config->acs_capability = row[8] & 0x1f;
        config->acs_control = row[8] >> 3;
    }
}

static void name(const uint8_t *row, char out[20]) {
    snprintf(out, 20, "0000:%02x:%02x.%x", row[0] & 0xfu, row[1] >> 3, row[1] & 7u);
}

/* A tree of the rows, from the last to the first where backwards; blind: the row of which only the
 * header can be read. */
static void build(struct qg_pci_tree *tree, const uint8_t *rows, size_t count, bool backwards,
                  size_t blind) {
    for (size_t i = 0; i < count; i++) {
        size_t at = backwards ? count - 1 - i : i;
        char bdf[20];
        name(rows + at * ROW, bdf);
        struct qg_pci_device *device = qg_pci_tree_add(tree, bdf, NULL);
        MUST(device != NULL);
        fill(device, rows + at * ROW, at == blind);
    }
    qg_pci_tree_connect(tree);
}

static bool has_twins(const uint8_t *rows, size_t count) {
    for (size_t i = 0; i < count; i++)
        for (size_t j = 0; j < i; j++)
            if ((rows[i * ROW] & 0xf) == (rows[j * ROW] & 0xf) &&
                rows[i * ROW + 1] == rows[j * ROW + 1])
                return true;
    return false;
}

static struct qg_iommu *group(const struct qg_pci_tree *tree) {
    struct qg_iommu *iommu = qg_iommu_new(tree, NULL);
    MUST(iommu != NULL);
    for (size_t i = 0; i < tree->count; i++)
        MUST(qg_iommu_group(iommu, i) < qg_iommu_count(iommu));
    return iommu;
}

/* What is one group in fine is in one group in coarse, too. */
static void must_hold_together(const struct qg_iommu *fine, const struct qg_iommu *coarse,
                               size_t count) {
    for (size_t i = 0; i < count; i++)
        for (size_t j = 0; j < i; j++)
            if (qg_iommu_group(fine, i) == qg_iommu_group(fine, j))
                MUST(qg_iommu_group(coarse, i) == qg_iommu_group(coarse, j));
}

static void try_value(const struct qg_iommu *iommu, size_t device) {
    struct qg_err err = {0};
    QG_AUTO(json) json_t *value = qg_iommu_value(iommu, device, &err);
    MUST(qg_value_get_text(value, "reason") != NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 1 + ROW)
        return -1;
    size_t count = (size - 1) / ROW;
    count = count < DEVICES_MAX ? count : DEVICES_MAX;
    if (has_twins(data + 1, count))
        return -1;
    QG_AUTO(pci_tree) struct qg_pci_tree tree = {0}, backwards = {0}, blind = {0};
    build(&tree, data + 1, count, false, QG_PCI_NONE);
    build(&backwards, data + 1, count, true, QG_PCI_NONE);
    build(&blind, data + 1, count, false, data[0] % count);
    QG_AUTO(iommu) struct qg_iommu *groups = group(&tree);
    QG_AUTO(iommu) struct qg_iommu *same = group(&backwards);
    QG_AUTO(iommu) struct qg_iommu *coarse = group(&blind);
    must_hold_together(groups, same, count);
    must_hold_together(same, groups, count);
    must_hold_together(groups, coarse, count);
    try_value(groups, data[0] % count);
    return 0;
}
