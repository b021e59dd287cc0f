/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The computer's PCI devices as its sysfs shows them, each with the bridge it sits behind. */
#ifndef QG_GPU_PCI_TREE_H
#define QG_GPU_PCI_TREE_H

#include "gpu/pci_config.h"
#include "host/host.h"

#include <stdint.h>

enum {
    QG_PCI_CLASS_DISPLAY = 0x03, /* base class */
    QG_PCI_CLASS_BRIDGE = 0x06,
};

#define QG_PCI_NONE SIZE_MAX

/* One function. */
struct qg_pci_device {
    char bdf[20]; /* `0000:01:00.0`; domains may have up to eight digits */
    uint32_t domain;
    uint8_t bus, slot, function;
    uint16_t vendor, device, subsystem_vendor, subsystem_device;
    uint32_t class_code;        /* 24 bits */
    enum qg_pci_known boot_vga; /* what the firmware drew on; unknown for what is no VGA */
    char *driver;               /* NULL: none; pciback where it is kept for qubes */
    int iommu_group;            /* the kernel's own number; -1: it shows none, as under Xen */
    char parent_bdf[20];        /* "" on a root bus */
    size_t parent;              /* index of the bridge in the tree; QG_PCI_NONE on a root bus */
    struct qg_pci_config config;
    struct qg_pci_resources resources;
};

/* Sorted by address. Free with qg_pci_tree_fini. */
struct qg_pci_tree {
    struct qg_pci_device *devices;
    size_t count, size;
};

void qg_pci_tree_fini(struct qg_pci_tree *tree);
QG_DEFINE_AUTO_FINI(pci_tree, struct qg_pci_tree, qg_pci_tree_fini)

/* Reads what is below /sys of the host's root into tree, which must be empty. A host without PCI
 * has none; files that cannot be read leave their values unknown. */
int qg_pci_tree_read(struct qg_host *host, struct qg_pci_tree *tree, struct qg_err *err);

/* Adds a device at an address; borrowed until the next one is added, NULL on failure
 * (QG_ERR_INVALID where bdf is no address). For trees that are not read from a host; end with
 * qg_pci_tree_connect.
 */
struct qg_pci_device *qg_pci_tree_add(struct qg_pci_tree *tree, const char *bdf,
                                      struct qg_err *err);

/* Sorts and finds each device's bridge: by parent_bdf, else by the bridges' bus numbers. */
void qg_pci_tree_connect(struct qg_pci_tree *tree);

/* The index of the device at a full address, QG_PCI_NONE where there is none. */
size_t qg_pci_tree_find(const struct qg_pci_tree *tree, const char *bdf);

/* True where the kernel counts it as one of several functions of its slot. */
bool qg_pci_is_multifunction(const struct qg_pci_device *device);

/* True where both are functions of one slot. */
bool qg_pci_same_slot(const struct qg_pci_device *a, const struct qg_pci_device *b);

#endif
