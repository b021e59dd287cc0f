/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Builds configuration spaces and trees from the PCI and PCI Express specifications. */
#ifndef QG_TEST_GPU_PCI_H
#define QG_TEST_GPU_PCI_H

#include "gpu/pci_tree.h"

#include <check.h>
#include <string.h>

struct pci_space {
    unsigned char bytes[QG_PCI_CONFIG_SIZE];
    size_t length;
    uint8_t last;      /* the capability that the next one is chained to; 0: the pointer at 0x34 */
    uint8_t next;      /* where the next one goes */
    uint16_t extended; /* likewise behind 0x100 */
};

static inline void space_put(struct pci_space *space, size_t at, uint32_t value, size_t count) {
    for (size_t i = 0; i < count; i++)
        space->bytes[at + i] = (unsigned char)(value >> 8 * i);
}

static inline struct pci_space space_new(uint16_t vendor, uint16_t device, uint32_t class_code,
                                         uint8_t header) {
    struct pci_space space = {.length = QG_PCI_CONVENTIONAL_SIZE, .next = 0x40};
    space_put(&space, 0x00, vendor, 2);
    space_put(&space, 0x02, device, 2);
    space_put(&space, 0x08, class_code << 8, 4);
    space.bytes[0x0e] = header;
    return space;
}

/* Adds a capability of 16 bytes; the offset. */
static inline size_t space_capability(struct pci_space *space, uint8_t id) {
    size_t at = space->next;
    space->bytes[0x06] |= 0x10;
    space->bytes[space->last ? space->last + 1 : 0x34] = (unsigned char)at;
    space->bytes[at] = id;
    space->last = (uint8_t)at;
    space->next = (uint8_t)(at + 0x10);
    return at;
}

static inline void space_pcie(struct pci_space *space, uint8_t type) {
    size_t at = space_capability(space, 0x10);
    space_put(space, at + 2, 2u | (uint32_t)type << 4, 2);
    space->length = QG_PCI_CONFIG_SIZE;
}

/* Adds an extended capability of 64 bytes; the offset. */
static inline size_t space_extended(struct pci_space *space, uint16_t id) {
    size_t at = space->extended ? space->extended + 0x40u : 0x100;
    if (space->extended)
        space->bytes[space->extended + 3] = (unsigned char)(at >> 4);
    if (space->extended)
        space->bytes[space->extended + 2] |= (unsigned char)((at & 0xf) << 4);
    space_put(space, at, id | 1u << 16, 4);
    space->extended = (uint16_t)at;
    return at;
}

static inline void space_acs(struct pci_space *space, uint16_t capability, uint16_t control) {
    size_t at = space_extended(space, 0x000d);
    space_put(space, at + 4, capability, 2);
    space_put(space, at + 6, control, 2);
}

static inline void space_buses(struct pci_space *space, uint8_t primary, uint8_t secondary,
                               uint8_t subordinate) {
    space->bytes[0x18] = primary;
    space->bytes[0x19] = secondary;
    space->bytes[0x1a] = subordinate;
}

/* How a device of a test's tree isolates. */
enum space_acs { ACS_NONE, ACS_ON, ACS_OFF };

/* One device of a test's tree: enough to compute groups from. */
struct tree_row {
    const char *bdf, *parent;
    uint16_t vendor, device;
    uint32_t class_code;
    int type; /* enum qg_pcie_type; -1: conventional */
    enum space_acs acs;
    bool multifunction;
    size_t length; /* bytes that can be read; 0: all */
};

static inline struct pci_space row_space(const struct tree_row *row) {
    bool bridge = row->class_code >> 8 == 0x0604;
    struct pci_space space =
        space_new(row->vendor, row->device, row->class_code,
                  (uint8_t)((bridge ? 1 : 0) | (row->multifunction ? 0x80 : 0)));
    space_capability(&space, 0x01);
    if (row->type >= 0)
        space_pcie(&space, (uint8_t)row->type);
    if (row->acs != ACS_NONE)
        space_acs(&space, 0x1d, row->acs == ACS_ON ? 0x1d : 0);
    if (row->length)
        space.length = row->length;
    return space;
}

static inline void tree_from(struct qg_pci_tree *tree, const struct tree_row *rows, size_t count) {
    for (size_t i = 0; i < count; i++) {
        struct qg_err err = {0};
        struct qg_pci_device *device = qg_pci_tree_add(tree, rows[i].bdf, &err);
        ck_assert_msg(device != NULL, "%s", err.text);
        struct pci_space space = row_space(&rows[i]);
        qg_pci_config_parse(space.bytes, space.length, &device->config);
        device->vendor = rows[i].vendor;
        device->device = rows[i].device;
        device->class_code = rows[i].class_code;
        if (rows[i].parent)
            strcpy(device->parent_bdf, rows[i].parent);
    }
    qg_pci_tree_connect(tree);
}

#endif
