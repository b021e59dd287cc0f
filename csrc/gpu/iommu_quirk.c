/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "gpu/iommu_quirk.h"

enum {
    VENDOR_ATI = 0x1002,
    VENDOR_AMD = 0x1022,
    VENDOR_AMPERE = 0x1def,
    VENDOR_APM = 0x10e8,
    VENDOR_BROADCOM = 0x14e4,
    VENDOR_CAVIUM = 0x177d,
    VENDOR_EMULEX = 0x10df,
    VENDOR_INTEL = 0x8086,
    VENDOR_JMICRON = 0x197b,
    VENDOR_MARVELL = 0x1b4b,
    VENDOR_RICOH = 0x1180,
    VENDOR_SERVERENGINES = 0x19a2,
    VENDOR_SOLARFLARE = 0x1924,
    VENDOR_TRIONES = 0x1103,
    VENDOR_ZHAOXIN = 0x1d17,
};

/* The first row that fits counts. */
static const struct qg_iommu_quirk quirks[] = {
    /* Chipsets from the 5 series to the X99: no ACS capability at all. */
    {VENDOR_INTEL, 0x1c10, 0x1c1f, QG_QUIRK_CHIPSET}, /* 6 series, Cougar Point */
    {VENDOR_INTEL, 0x1d10, 0x1d1e, QG_QUIRK_CHIPSET}, /* X79, Patsburg */
    {VENDOR_INTEL, 0x1e10, 0x1e1f, QG_QUIRK_CHIPSET}, /* 7 series, Panther Point */
    {VENDOR_INTEL, 0x3b42, 0x3b51, QG_QUIRK_CHIPSET}, /* 5 series, Ibex Peak */
    {VENDOR_INTEL, 0x8c10, 0x8c1f, QG_QUIRK_CHIPSET}, /* 8 series, Lynx Point */
    {VENDOR_INTEL, 0x8c90, 0x8c9e, QG_QUIRK_CHIPSET}, /* 9 series */
    {VENDOR_INTEL, 0x8d10, 0x8d1e, QG_QUIRK_CHIPSET}, /* X99, Wellsburg */
    {VENDOR_INTEL, 0x9c10, 0x9c1b, QG_QUIRK_CHIPSET}, /* Lynx Point for laptops */
    {VENDOR_INTEL, 0x9c90, 0x9c9b, QG_QUIRK_CHIPSET}, /* Wildcat Point for laptops */
    /* Chipsets with a capability that is laid out wrongly. */
    {VENDOR_INTEL, 0x9d10, 0x9d1b, QG_QUIRK_WIDE_ACS}, /* laptops, 6th to 8th generation */
    {VENDOR_INTEL, 0xa110, 0xa11f, QG_QUIRK_WIDE_ACS}, /* 100 series, Sunrise Point */
    {VENDOR_INTEL, 0xa167, 0xa16a, QG_QUIRK_WIDE_ACS},
    {VENDOR_INTEL, 0xa290, 0xa29f, QG_QUIRK_WIDE_ACS}, /* 200 series, Union Point */
    {VENDOR_INTEL, 0xa2e7, 0xa2ee, QG_QUIRK_WIDE_ACS},
    {VENDOR_INTEL, 0xa32c, 0xa343, QG_QUIRK_WIDE_ACS}, /* 300 series, Cannon Point */
    /* Network controllers with several functions. */
    {VENDOR_INTEL, 0x105e, 0x1060, QG_QUIRK_ENDPOINT}, /* 82571 */
    {VENDOR_INTEL, 0x10d9, 0x10d9, QG_QUIRK_ENDPOINT},
    {VENDOR_INTEL, 0x10a7, 0x10a7, QG_QUIRK_ENDPOINT}, /* 82575 */
    {VENDOR_INTEL, 0x10a9, 0x10a9, QG_QUIRK_ENDPOINT},
    {VENDOR_INTEL, 0x10d6, 0x10d6, QG_QUIRK_ENDPOINT},
    {VENDOR_INTEL, 0x10c9, 0x10c9, QG_QUIRK_ENDPOINT}, /* 82576 */
    {VENDOR_INTEL, 0x10e6, 0x10e8, QG_QUIRK_ENDPOINT},
    {VENDOR_INTEL, 0x1509, 0x1511, QG_QUIRK_ENDPOINT}, /* 82576 and 82580 */
    {VENDOR_INTEL, 0x1516, 0x1516, QG_QUIRK_ENDPOINT},
    {VENDOR_INTEL, 0x1518, 0x1518, QG_QUIRK_ENDPOINT},
    {VENDOR_INTEL, 0x1526, 0x1527, QG_QUIRK_ENDPOINT},
    {VENDOR_INTEL, 0x1521, 0x1524, QG_QUIRK_ENDPOINT}, /* I350 */
    {VENDOR_INTEL, 0x10c6, 0x10c6, QG_QUIRK_ENDPOINT}, /* 82598 and 82599 */
    {VENDOR_INTEL, 0x10db, 0x10db, QG_QUIRK_ENDPOINT},
    {VENDOR_INTEL, 0x10dd, 0x10dd, QG_QUIRK_ENDPOINT},
    {VENDOR_INTEL, 0x10e1, 0x10e1, QG_QUIRK_ENDPOINT},
    {VENDOR_INTEL, 0x10f1, 0x10f1, QG_QUIRK_ENDPOINT},
    {VENDOR_INTEL, 0x10f7, 0x10fc, QG_QUIRK_ENDPOINT},
    {VENDOR_INTEL, 0x1507, 0x1507, QG_QUIRK_ENDPOINT},
    {VENDOR_INTEL, 0x1514, 0x1514, QG_QUIRK_ENDPOINT},
    {VENDOR_INTEL, 0x151c, 0x151c, QG_QUIRK_ENDPOINT},
    {VENDOR_INTEL, 0x1529, 0x152a, QG_QUIRK_ENDPOINT},
    {VENDOR_INTEL, 0x154d, 0x154d, QG_QUIRK_ENDPOINT},
    {VENDOR_INTEL, 0x154f, 0x154f, QG_QUIRK_ENDPOINT},
    {VENDOR_INTEL, 0x1551, 0x1551, QG_QUIRK_ENDPOINT},
    {VENDOR_INTEL, 0x1558, 0x1558, QG_QUIRK_ENDPOINT},
    {VENDOR_INTEL, 0x15b7, 0x15b8, QG_QUIRK_ENDPOINT},    /* I219 */
    {VENDOR_BROADCOM, 0x16d7, 0x16d7, QG_QUIRK_ENDPOINT}, /* BCM57414 and 575xx */
    {VENDOR_BROADCOM, 0x1750, 0x1752, QG_QUIRK_ENDPOINT},
    {VENDOR_EMULEX, 0x0720, 0x0720, QG_QUIRK_ENDPOINT},
    {VENDOR_SERVERENGINES, 0x0710, 0x0710, QG_QUIRK_ENDPOINT},
    {VENDOR_SOLARFLARE, 0x0903, 0x0903, QG_QUIRK_ENDPOINT},
    {VENDOR_SOLARFLARE, 0x0923, 0x0923, QG_QUIRK_ENDPOINT},
    {VENDOR_SOLARFLARE, 0x0a03, 0x0a03, QG_QUIRK_ENDPOINT},
    /* Southbridges: SATA, SMBus, IDE, audio, LPC and PCI bridge are functions of one slot. */
    {VENDOR_ATI, 0x4383, 0x4385, QG_QUIRK_SOUTHBRIDGE},
    {VENDOR_ATI, 0x4399, 0x4399, QG_QUIRK_SOUTHBRIDGE},
    {VENDOR_ATI, 0x439c, 0x439d, QG_QUIRK_SOUTHBRIDGE},
    {VENDOR_AMD, 0x7809, 0x7809, QG_QUIRK_SOUTHBRIDGE},
    {VENDOR_AMD, 0x780f, 0x780f, QG_QUIRK_SOUTHBRIDGE},
    /* Ports of other makers. */
    {VENDOR_AMPERE, 0xe005, 0xe00c, QG_QUIRK_PORT},
    {VENDOR_APM, 0xe004, 0xe004, QG_QUIRK_PORT},
    {VENDOR_CAVIUM, 0xa000, 0xa7ff, QG_QUIRK_PORT},
    {VENDOR_CAVIUM, 0xaf84, 0xaf84, QG_QUIRK_PORT},
    {VENDOR_CAVIUM, 0xb884, 0xb884, QG_QUIRK_PORT},
    {VENDOR_ZHAOXIN, 0x0710, 0x071e, QG_QUIRK_PORT},
    {VENDOR_ZHAOXIN, 0x0721, 0x0721, QG_QUIRK_PORT},
    {VENDOR_ZHAOXIN, 0x0723, 0x0752, QG_QUIRK_PORT},
    {VENDOR_INTEL, 0x0000, 0xffff, QG_QUIRK_INTEGRATED},
};

static bool is_pcie_type(const struct qg_pci_device *device, uint8_t type) {
    return device->config.pcie == QG_PCI_YES && device->config.pcie_type == type;
}

const char *qg_iommu_quirk_why(const struct qg_iommu_quirk *quirk) {
    switch (quirk->kind) {
    case QG_QUIRK_CHIPSET:
        return "is a root port of an Intel chipset, which separates by registers of its own that "
               "Linux sets";
    case QG_QUIRK_PORT:
        return "is a root port that never forwards between its neighbours, as its maker says";
    case QG_QUIRK_WIDE_ACS:
        return "is a root port of Intel's 100 to 300 series, whose ACS registers are twice as wide "
               "as the specification's";
    case QG_QUIRK_ENDPOINT:
        return "is one of the network functions whose maker vouches that they do not talk to one "
               "another";
    case QG_QUIRK_SOUTHBRIDGE:
        return "is part of an AMD southbridge, whose functions the IOMMU tells apart";
    case QG_QUIRK_INTEGRATED:
        break;
    }
    return "is an integrated endpoint of Intel, where peers reach one another through the IOMMU "
           "only";
}

/* The place in the topology that the exception is about. */
static bool kind_fits(const struct qg_pci_device *device, enum qg_iommu_quirk_kind kind) {
    switch (kind) {
    case QG_QUIRK_CHIPSET:
    case QG_QUIRK_PORT:
        return is_pcie_type(device, QG_PCIE_ROOT_PORT) ||
               (device->vendor == VENDOR_ZHAOXIN && is_pcie_type(device, QG_PCIE_DOWNSTREAM));
    case QG_QUIRK_WIDE_ACS:
        return is_pcie_type(device, QG_PCIE_ROOT_PORT) && device->config.acs != QG_PCI_NO;
    case QG_QUIRK_ENDPOINT:
        return !device->config.bridge;
    case QG_QUIRK_SOUTHBRIDGE:
        return device->parent == QG_PCI_NONE && qg_pci_is_multifunction(device);
    case QG_QUIRK_INTEGRATED:
        return is_pcie_type(device, QG_PCIE_INTEGRATED);
    }
    return false;
}

const struct qg_iommu_quirk *qg_iommu_quirk_find(const struct qg_pci_device *device) {
    for (size_t i = 0; i < QG_ARRAY_LEN(quirks); i++) {
        const struct qg_iommu_quirk *quirk = &quirks[i];
        if (device->vendor == quirk->vendor && device->device >= quirk->first &&
            device->device <= quirk->last && kind_fits(device, quirk->kind))
            return quirk;
    }
    return NULL;
}

/* Functions that send with another function's address. */
static const struct {
    uint16_t vendor, device;
    int function;
} aliases[] = {
    {VENDOR_RICOH, 0xe832, 0},   {VENDOR_RICOH, 0xe476, 0},   {VENDOR_MARVELL, 0x9120, 1},
    {VENDOR_MARVELL, 0x9123, 1}, {VENDOR_MARVELL, 0x9128, 1}, {VENDOR_MARVELL, 0x9130, 1},
    {VENDOR_MARVELL, 0x9172, 1}, {VENDOR_MARVELL, 0x917a, 1}, {VENDOR_MARVELL, 0x9182, 1},
    {VENDOR_MARVELL, 0x91a0, 1}, {VENDOR_MARVELL, 0x9220, 1}, {VENDOR_MARVELL, 0x9230, 1},
    {VENDOR_MARVELL, 0x9125, 1}, {VENDOR_MARVELL, 0x9170, 1}, {VENDOR_MARVELL, 0x9183, 1},
    {VENDOR_MARVELL, 0x9215, 1}, {VENDOR_MARVELL, 0x9235, 1}, {VENDOR_TRIONES, 0x0642, 1},
    {VENDOR_TRIONES, 0x0645, 1}, {VENDOR_JMICRON, 0x2388, 1},
};

int qg_iommu_quirk_alias(const struct qg_pci_device *device) {
    for (size_t i = 0; i < QG_ARRAY_LEN(aliases); i++) {
        if (device->vendor == aliases[i].vendor && device->device == aliases[i].device)
            return aliases[i].function;
    }
    return -1;
}
