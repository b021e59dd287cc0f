/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Devices that separate what is behind or beside them without saying so in an ACS capability, and
 * devices that use another function's address: Linux's list of exceptions, as far as it concerns
 * PCs. */
#ifndef QG_GPU_IOMMU_QUIRK_H
#define QG_GPU_IOMMU_QUIRK_H

#include "gpu/pci_tree.h"

enum qg_iommu_quirk_kind {
    QG_QUIRK_CHIPSET,     /* a root port of Intel's that separates by registers of its own */
    QG_QUIRK_PORT,        /* a root port that separates as its maker says */
    QG_QUIRK_WIDE_ACS,    /* a root port whose ACS registers are 32 bits wide each */
    QG_QUIRK_ENDPOINT,    /* functions of one device that never talk to one another */
    QG_QUIRK_SOUTHBRIDGE, /* functions on the root bus that the IOMMU sees one by one */
    QG_QUIRK_INTEGRATED,  /* an endpoint of the root complex without peer-to-peer */
};

struct qg_iommu_quirk {
    uint16_t vendor, first, last; /* device numbers, both included */
    enum qg_iommu_quirk_kind kind;
};

/* The exception that holds for the device, NULL where none does. */
const struct qg_iommu_quirk *qg_iommu_quirk_find(const struct qg_pci_device *device);

/* Completes `00:1c.0 ...`. Static. */
const char *qg_iommu_quirk_why(const struct qg_iommu_quirk *quirk);

/* The function of its own slot whose address the device uses too; -1 where it uses its own only. */
int qg_iommu_quirk_alias(const struct qg_pci_device *device);

#endif
