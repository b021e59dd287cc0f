/* SPDX-License-Identifier: GPL-3.0-or-later */
/* IOMMU groups computed from topology and configuration space, the way Linux makes them: dom0 shows
 * none, because Xen has the IOMMU. What could not be read counts as not separated, so a group is
 * rather too large than too small. Pure. */
#ifndef QG_GPU_IOMMU_H
#define QG_GPU_IOMMU_H

#include "doc/value.h"
#include "gpu/pci_tree.h"

enum qg_iommu_sure {
    QG_IOMMU_CERTAIN, /* every bit that matters was read */
    QG_IOMMU_LIKELY,  /* a device is on Linux's list of exceptions */
    QG_IOMMU_UNKNOWN, /* a configuration space could not be read far enough */
};

/* The groups of one tree, which must outlive them. */
struct qg_iommu;

struct qg_iommu *qg_iommu_new(const struct qg_pci_tree *tree, struct qg_err *err) QG_MUST_CHECK;
void qg_iommu_free(struct qg_iommu *iommu);
QG_DEFINE_AUTO(iommu, struct qg_iommu, qg_iommu_free)

/* The group of the tree's device at this index; groups count from 0. */
size_t qg_iommu_group(const struct qg_iommu *iommu, size_t device);
size_t qg_iommu_count(const struct qg_iommu *iommu);
enum qg_iommu_sure qg_iommu_sure(const struct qg_iommu *iommu, size_t group);

/* `certain`, `likely` or `unknown`; static. */
const char *qg_iommu_sure_name(enum qg_iommu_sure sure);

/* Who shares the group of this device: {along: functions of its own slot, bridges: never assigned,
 * blocks: other devices, each a list of addresses; sure; reason: a sentence}. New mapping; NULL on
 * failure. */
json_t *qg_iommu_value(const struct qg_iommu *iommu, size_t device,
                       struct qg_err *err) QG_MUST_CHECK;

#endif
