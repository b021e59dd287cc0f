/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "gpu/pci_config.h"

#include <stdlib.h>
#include <string.h>

enum {
    AT_VENDOR = 0x00,
    AT_DEVICE = 0x02,
    AT_STATUS = 0x06,
    AT_CLASS = 0x08, /* revision in the lowest byte */
    AT_HEADER_TYPE = 0x0e,
    AT_PRIMARY = 0x18,
    AT_SECONDARY = 0x19,
    AT_SUBORDINATE = 0x1a,
    AT_CAPABILITIES = 0x34,
    AT_CARDBUS_CAPABILITIES = 0x14,
    AT_EXTENDED = 0x100,

    STATUS_HAS_LIST = 0x10,
    HEADER_MULTIFUNCTION = 0x80,
    HEADER_BRIDGE = 1,
    HEADER_CARDBUS = 2,

    CAPABILITY_PCIE = 0x10,
    EXTENDED_ACS = 0x000d,

    LIST_MAX = 48,              /* (256 - 64) / 4: more entries than fit are a loop */
    EXTENDED_MAX = 480,         /* (4096 - 256) / 8 */
    RESOURCE_BARS = 6,          /* the lines that are base address registers */
    RESOURCE_IS_MEMORY = 0x200, /* the kernel's flag in the resource file */
};

/* The bytes and how many there are. */
struct space {
    const unsigned char *bytes;
    size_t length;
};

static bool read8(const struct space *space, size_t at, uint8_t *out) {
    if (at >= space->length)
        return false;
    *out = space->bytes[at];
    return true;
}

static bool read16(const struct space *space, size_t at, uint16_t *out) {
    if (space->length < 2 || at > space->length - 2)
        return false;
    *out = (uint16_t)(space->bytes[at] | space->bytes[at + 1] << 8);
    return true;
}

static bool read32(const struct space *space, size_t at, uint32_t *out) {
    uint16_t low, high;
    if (!read16(space, at, &low) || !read16(space, at + 2, &high))
        return false;
    *out = (uint32_t)high << 16 | low;
    return true;
}

/* Walks the list of capabilities in the first 256 bytes. */
static size_t find_capability(const struct space *space, uint8_t id, enum qg_pci_known *known) {
    uint16_t status;
    uint8_t type, at;
    *known = QG_PCI_UNKNOWN;
    if (!read16(space, AT_STATUS, &status) || !read8(space, AT_HEADER_TYPE, &type))
        return 0;
    *known = QG_PCI_NO;
    if (!(status & STATUS_HAS_LIST))
        return 0;
    bool cardbus = (type & ~HEADER_MULTIFUNCTION) == HEADER_CARDBUS;
    bool there = read8(space, cardbus ? AT_CARDBUS_CAPABILITIES : AT_CAPABILITIES, &at);
    for (int i = 0; there && i < LIST_MAX; i++) {
        at &= 0xfc;
        if (at < QG_PCI_HEADER_SIZE)
            return 0;
        uint8_t found;
        there = read8(space, at, &found);
        if (there && found == 0xff)
            return 0;
        if (there && found == id) {
            *known = QG_PCI_YES;
            return at;
        }
        there = there && read8(space, (size_t)at + 1, &at);
    }
    if (!there)
        *known = QG_PCI_UNKNOWN; /* the list goes on behind the bytes that we have */
    return 0;
}

/* Walks the list of extended capabilities behind them. */
static size_t find_extended(const struct space *space, uint16_t id, enum qg_pci_known *known) {
    size_t at = AT_EXTENDED;
    for (int i = 0; i < EXTENDED_MAX; i++) {
        uint32_t head;
        if (!read32(space, at, &head)) {
            *known = QG_PCI_UNKNOWN;
            return 0;
        }
        *known = QG_PCI_NO;
        if (head == 0 || head == UINT32_MAX)
            return 0;
        if ((head & 0xffff) == id) {
            *known = QG_PCI_YES;
            return at;
        }
        at = head >> 20 & 0xffc;
        if (at < AT_EXTENDED)
            return 0;
    }
    return 0;
}

size_t qg_pci_find_capability(const void *bytes, size_t length, uint8_t id,
                              enum qg_pci_known *known) {
    struct space space = {bytes, length};
    enum qg_pci_known ignored;
    return find_capability(&space, id, known ? known : &ignored);
}

size_t qg_pci_find_extended(const void *bytes, size_t length, uint16_t id,
                            enum qg_pci_known *known) {
    struct space space = {bytes, length};
    enum qg_pci_known ignored;
    return find_extended(&space, id, known ? known : &ignored);
}

static void parse_header(const struct space *space, struct qg_pci_config *config) {
    uint32_t class_code = 0;
    uint8_t type = 0;
    read16(space, AT_VENDOR, &config->vendor);
    read16(space, AT_DEVICE, &config->device);
    if (read32(space, AT_CLASS, &class_code))
        config->class_code = class_code >> 8;
    /* All ones is the bus's answer for a device that does not answer (gone, or in D3cold). */
    config->header =
        space->length >= QG_PCI_HEADER_SIZE && config->vendor != 0xffff && config->vendor != 0;
    if (!config->header || !read8(space, AT_HEADER_TYPE, &type))
        return;
    config->header_type = type & (uint8_t)~HEADER_MULTIFUNCTION;
    config->multifunction = type & HEADER_MULTIFUNCTION;
    config->bridge = config->header_type == HEADER_BRIDGE;
    if (config->bridge) {
        read8(space, AT_PRIMARY, &config->primary);
        read8(space, AT_SECONDARY, &config->secondary);
        read8(space, AT_SUBORDINATE, &config->subordinate);
    }
}

static void parse_pcie(const struct space *space, struct qg_pci_config *config) {
    size_t at = find_capability(space, CAPABILITY_PCIE, &config->pcie);
    uint16_t flags;
    if (config->pcie != QG_PCI_YES)
        return;
    if (read16(space, at + 2, &flags))
        config->pcie_type = flags >> 4 & 0xf;
    else
        config->pcie = QG_PCI_UNKNOWN;
}

static void parse_acs(const struct space *space, struct qg_pci_config *config) {
    if (config->pcie == QG_PCI_NO) {
        config->acs = QG_PCI_NO; /* the extended space belongs to PCI Express */
        return;
    }
    size_t at = find_extended(space, EXTENDED_ACS, &config->acs);
    uint16_t control;
    if (config->acs != QG_PCI_YES)
        return;
    if (!read32(space, at + 4, &config->acs_capability) || !read16(space, at + 6, &control)) {
        config->acs = QG_PCI_UNKNOWN;
        return;
    }
    config->acs_control = control;
    read32(space, at + 8, &config->acs_wide_control);
}

void qg_pci_config_parse(const void *bytes, size_t length, struct qg_pci_config *config) {
    struct space space = {bytes, length < QG_PCI_CONFIG_SIZE ? length : QG_PCI_CONFIG_SIZE};
    *config = (struct qg_pci_config){.length = space.length};
    parse_header(&space, config);
    if (!config->header)
        return;
    parse_pcie(&space, config);
    parse_acs(&space, config);
}

/* One line `0x.. 0x.. 0x..`; false where it is none. */
static bool parse_resource(const char *line, uint64_t numbers[3]) {
    for (int i = 0; i < 3; i++) {
        char *end;
        numbers[i] = strtoull(line, &end, 16);
        if (end == line)
            return false;
        line = end;
    }
    return true;
}

void qg_pci_resources_parse(const char *text, struct qg_pci_resources *resources) {
    *resources = (struct qg_pci_resources){0};
    for (int i = 0; i < RESOURCE_BARS && text; i++) {
        uint64_t numbers[3];
        bool memory = parse_resource(text, numbers) && numbers[2] & RESOURCE_IS_MEMORY &&
                      numbers[1] > numbers[0];
        uint64_t size = memory ? numbers[1] - numbers[0] + 1 : 0;
        if (size > resources->largest)
            resources->largest = size;
        if (__builtin_add_overflow(resources->total, size, &resources->total))
            resources->total = UINT64_MAX;
        const char *end = strchr(text, '\n');
        text = end ? end + 1 : NULL;
    }
}

const char *qg_pcie_type_name(uint8_t type) {
    switch ((enum qg_pcie_type)type) {
    case QG_PCIE_ENDPOINT:
        return "endpoint";
    case QG_PCIE_LEGACY_ENDPOINT:
        return "legacy endpoint";
    case QG_PCIE_ROOT_PORT:
        return "root port";
    case QG_PCIE_UPSTREAM:
        return "upstream switch port";
    case QG_PCIE_DOWNSTREAM:
        return "downstream switch port";
    case QG_PCIE_TO_PCI:
        return "PCI Express to PCI bridge";
    case QG_PCI_TO_PCIE:
        return "PCI to PCI Express bridge";
    case QG_PCIE_INTEGRATED:
        return "integrated endpoint";
    case QG_PCIE_EVENT_COLLECTOR:
        return "event collector";
    }
    return "unknown";
}
