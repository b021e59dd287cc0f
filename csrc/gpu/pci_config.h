/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A PCI function's configuration space: what its bytes say, as far as they could be read. Pure. */
#ifndef QG_GPU_PCI_CONFIG_H
#define QG_GPU_PCI_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    QG_PCI_HEADER_SIZE = 64,        /* all that others than root may read */
    QG_PCI_CONVENTIONAL_SIZE = 256, /* where the kernel has no way to the extended space */
    QG_PCI_CONFIG_SIZE = 4096,
};

/* Port types of the PCI Express capability (bits 7:4 of its flags). */
enum qg_pcie_type {
    QG_PCIE_ENDPOINT = 0x0,
    QG_PCIE_LEGACY_ENDPOINT = 0x1,
    QG_PCIE_ROOT_PORT = 0x4,
    QG_PCIE_UPSTREAM = 0x5,
    QG_PCIE_DOWNSTREAM = 0x6,
    QG_PCIE_TO_PCI = 0x7,     /* bridge from PCI Express to PCI or PCI-X */
    QG_PCI_TO_PCIE = 0x8,     /* the other way round */
    QG_PCIE_INTEGRATED = 0x9, /* endpoint in the root complex */
    QG_PCIE_EVENT_COLLECTOR = 0xa,
};

/* Bits of the ACS capability and control registers. */
enum {
    QG_ACS_SOURCE_VALIDATION = 0x01,
    QG_ACS_TRANSLATION_BLOCKING = 0x02,
    QG_ACS_REQUEST_REDIRECT = 0x04,
    QG_ACS_COMPLETION_REDIRECT = 0x08,
    QG_ACS_UPSTREAM_FORWARDING = 0x10,
    QG_ACS_EGRESS_CONTROL = 0x20,
    /* What keeps devices behind a port from reaching one another past the IOMMU. */
    QG_ACS_ISOLATION = QG_ACS_SOURCE_VALIDATION | QG_ACS_REQUEST_REDIRECT |
                       QG_ACS_COMPLETION_REDIRECT | QG_ACS_UPSTREAM_FORWARDING,
};

/* Whether something is there, where the bytes may end before they tell. */
enum qg_pci_known { QG_PCI_UNKNOWN, QG_PCI_NO, QG_PCI_YES };

/* What a configuration space says. Numbers are 0 where they are not known. */
struct qg_pci_config {
    size_t length; /* bytes that were read */
    bool header;   /* the first 64 bytes are there, and not those of a device that is gone */
    uint16_t vendor, device;
    uint32_t class_code; /* 24 bits: base class, sub-class, interface */
    uint8_t header_type; /* without the multifunction bit */
    bool multifunction;
    bool bridge; /* header type 1: the bus numbers mean something */
    uint8_t primary, secondary, subordinate;
    enum qg_pci_known pcie; /* has a PCI Express capability */
    uint8_t pcie_type;      /* enum qg_pcie_type, where pcie is QG_PCI_YES */
    enum qg_pci_known acs;
    uint32_t acs_capability;   /* 32 bits: some chipsets' registers are that wide */
    uint32_t acs_control;      /* 16 bits behind the capability's 16, as in the specification */
    uint32_t acs_wide_control; /* the double word after the 32-bit capability (Intel's 100 to 300
                                  series); 0 where it was not read */
};

/* Reads the bytes; any number of them, any content. Lists that loop or leave the space end there.
 */
void qg_pci_config_parse(const void *bytes, size_t length, struct qg_pci_config *config);

/* Where the capability begins, 0 where there is none or the bytes end before; *known (may be NULL)
 * tells which. */
size_t qg_pci_find_capability(const void *bytes, size_t length, uint8_t id,
                              enum qg_pci_known *known);
size_t qg_pci_find_extended(const void *bytes, size_t length, uint16_t id,
                            enum qg_pci_known *known);

/* What the `resource` file of sysfs says: a line `START END FLAGS` for each of the six base address
 * registers, the ROM and a bridge's windows. */
struct qg_pci_resources {
    uint64_t largest; /* bytes of the largest memory BAR; 0: none */
    uint64_t total;   /* bytes of all memory BARs */
};

/* Lines that are none are left out. */
void qg_pci_resources_parse(const char *text, struct qg_pci_resources *resources);

/* `endpoint`, `root port`, ...; static. */
const char *qg_pcie_type_name(uint8_t type);

#endif
