/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "gpu/pci_tree.h"

#include "base/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DEPTH_MAX = 64 }; /* bridges behind bridges; there are 256 buses, machines have five deep */

static const char devices_folder[] = "/sys/devices";
static const char bus_folder[] = "/sys/bus/pci/devices";

void qg_pci_tree_fini(struct qg_pci_tree *tree) {
    for (size_t i = 0; i < tree->count; i++)
        free(tree->devices[i].driver);
    free(tree->devices);
    *tree = (struct qg_pci_tree){0};
}

/* A hexadecimal number of least to most digits at *text, which moves behind it. */
static bool take_hex(const char **text, size_t least, size_t most, uint32_t *out) {
    size_t count = strspn(*text, "0123456789abcdef");
    char digits[9];
    uint64_t number;
    if (count < least || count > most)
        return false;
    memcpy(digits, *text, count);
    digits[count] = '\0';
    *text += count;
    if (!qg_text_to_hex(digits, &number))
        return false;
    *out = (uint32_t)number;
    return true;
}

static bool take_char(const char **text, char c) {
    bool there = **text == c;
    *text += there;
    return there;
}

/* `DDDD:BB:SS.F` as sysfs writes it. */
static bool parse_bdf(const char *text, struct qg_pci_device *device) {
    uint32_t domain, bus, slot, function;
    size_t length = strlen(text);
    const char *at = text;
    if (!take_hex(&at, 4, 8, &domain) || !take_char(&at, ':') || !take_hex(&at, 2, 2, &bus) ||
        !take_char(&at, ':') || !take_hex(&at, 2, 2, &slot) || !take_char(&at, '.') ||
        !take_hex(&at, 1, 1, &function) || *at || slot > 31 || function > 7)
        return false;
    memcpy(device->bdf, text, length + 1);
    device->domain = domain;
    device->bus = (uint8_t)bus;
    device->slot = (uint8_t)slot;
    device->function = (uint8_t)function;
    return true;
}

static struct qg_pci_device *add(struct qg_pci_tree *tree, const struct qg_pci_device *device,
                                 struct qg_err *err) {
    if (tree->count == tree->size) {
        size_t size = tree->size ? tree->size * 2 : 32;
        struct qg_pci_device *devices = reallocarray(tree->devices, size, sizeof(*devices));
        if (!devices) {
            qg_err_oom(err);
            return NULL;
        }
        tree->devices = devices;
        tree->size = size;
    }
    tree->devices[tree->count] = *device;
    return &tree->devices[tree->count++];
}

struct qg_pci_device *qg_pci_tree_add(struct qg_pci_tree *tree, const char *bdf,
                                      struct qg_err *err) {
    struct qg_pci_device device = {.iommu_group = -1, .parent = QG_PCI_NONE};
    if (!parse_bdf(bdf, &device)) {
        qg_err_set(err, QG_ERR_INVALID, "'%s' is no PCI address", bdf);
        return NULL;
    }
    return add(tree, &device, err);
}

/* The content of folder/name, empty where it cannot be read: not known is an answer here. */
static int read_file(struct qg_host *host, const char *folder, const char *name, struct qg_buf *out,
                     struct qg_err *err) {
    QG_AUTO_STR char *path = qg_text_format("%s/%s", folder, name);
    if (!path)
        return qg_err_oom(err);
    bool found;
    struct qg_err problem = {0};
    if (qg_host_read(host, path, out, &found, &problem) < 0)
        qg_buf_fini(out);
    return qg_err_pass_oom(err, &problem);
}

/* The number in folder/name, as `0x10de` or `1`, to *out; left as it is where there is none. */
static int read_number(struct qg_host *host, const char *folder, const char *name, uint64_t most,
                       uint64_t *out, struct qg_err *err) {
    QG_AUTO(buf) struct qg_buf text = {0};
    if (read_file(host, folder, name, &text, err) < 0)
        return -1;
    if (!text.length)
        return 0;
    text.data[strcspn(text.data, "\n")] = '\0';
    uint64_t number;
    if (qg_text_to_hex(text.data, &number) && number <= most)
        *out = number;
    return 0;
}

/* The last part of the link folder/name to *out; NULL where there is none. */
static int read_link(struct qg_host *host, const char *folder, const char *name, char **out,
                     struct qg_err *err) {
    QG_AUTO_STR char *path = qg_text_format("%s/%s", folder, name);
    if (!path)
        return qg_err_oom(err);
    struct qg_err problem = {0};
    *out = qg_host_link_name(host, path, &problem);
    if (*out)
        qg_text_clean(*out);
    return qg_err_pass_oom(err, &problem);
}

static int read_group(struct qg_host *host, const char *folder, int *out, struct qg_err *err) {
    QG_AUTO_STR char *name = NULL;
    if (read_link(host, folder, "iommu_group", &name, err) < 0)
        return -1;
    int64_t number;
    bool known = name && qg_text_to_int(name, &number) && number >= 0 && number <= INT32_MAX;
    *out = known ? (int)number : -1;
    return 0;
}

/* The numbers that have files of their own; what the configuration space says where they have not.
 */
static int read_ids(struct qg_host *host, const char *folder, struct qg_pci_device *device,
                    struct qg_err *err) {
    uint64_t vendor = device->config.vendor, number = device->config.device;
    uint64_t class_code = device->config.class_code, subsystem_vendor = 0, subsystem_device = 0;
    enum { UNKNOWN = 2 };
    uint64_t boot = UNKNOWN;
    if (read_number(host, folder, "vendor", UINT32_MAX, &vendor, err) < 0 ||
        read_number(host, folder, "device", UINT32_MAX, &number, err) < 0 ||
        read_number(host, folder, "class", UINT32_MAX, &class_code, err) < 0 ||
        read_number(host, folder, "subsystem_vendor", UINT32_MAX, &subsystem_vendor, err) < 0 ||
        read_number(host, folder, "subsystem_device", UINT32_MAX, &subsystem_device, err) < 0 ||
        read_number(host, folder, "boot_vga", 1, &boot, err) < 0)
        return -1;
    device->vendor = (uint16_t)vendor;
    device->device = (uint16_t)number;
    device->class_code = class_code & 0xffffff;
    device->subsystem_vendor = (uint16_t)subsystem_vendor;
    device->subsystem_device = (uint16_t)subsystem_device;
    if (boot != UNKNOWN)
        device->boot_vga = boot ? QG_PCI_YES : QG_PCI_NO;
    return 0;
}

/* Fills in what the device's folder tells. */
static int read_device(struct qg_host *host, const char *folder, struct qg_pci_device *device,
                       struct qg_err *err) {
    QG_AUTO(buf) struct qg_buf config = {0};
    QG_AUTO(buf) struct qg_buf resource = {0};
    if (read_file(host, folder, "config", &config, err) < 0 ||
        read_file(host, folder, "resource", &resource, err) < 0)
        return -1;
    qg_pci_config_parse(qg_buf_text(&config), config.length, &device->config);
    qg_pci_resources_parse(qg_buf_text(&resource), &device->resources);
    return read_ids(host, folder, device, err) < 0 ||
                   read_link(host, folder, "driver", &device->driver, err) < 0
               ? -1
               : read_group(host, folder, &device->iommu_group, err);
}

static int add_from(struct qg_host *host, struct qg_pci_tree *tree, const char *folder,
                    const struct qg_pci_device *named, struct qg_err *err) {
    struct qg_pci_device *device = add(tree, named, err);
    if (!device)
        return -1;
    return read_device(host, folder, device, err);
}

/* `pci0000:00`, the folder of a root bus; `pci-0` above it in a qube with PCI devices of its own.
 */
static bool is_root_bus(const char *name) {
    return qg_text_starts(name, "pci") && (name[3] == '-' || (name[3] >= '0' && name[3] <= '9'));
}

/* Takes up the devices in a folder and, before the next one, those behind each. */
static int walk(struct qg_host *host, struct qg_pci_tree *tree, const char *folder,
                const char *parent, int depth, struct qg_err *err) {
    QG_AUTO(names) char **names = qg_host_list(host, folder, err);
    if (!names)
        return -1;
    for (char **name = names; *name && depth < DEPTH_MAX; name++) {
        struct qg_pci_device device = {.iommu_group = -1, .parent = QG_PCI_NONE};
        bool is_device = parse_bdf(*name, &device);
        if (!is_device && !is_root_bus(*name))
            continue;
        QG_AUTO_STR char *path = qg_text_format("%s/%s", folder, *name);
        if (!path)
            return qg_err_oom(err);
        snprintf(device.parent_bdf, sizeof(device.parent_bdf), "%s", parent);
        if (is_device && add_from(host, tree, path, &device, err) < 0)
            return -1;
        if (walk(host, tree, path, is_device ? device.bdf : "", depth + 1, err) < 0)
            return -1;
    }
    return 0;
}

size_t qg_pci_tree_find(const struct qg_pci_tree *tree, const char *bdf) {
    for (size_t i = 0; i < tree->count; i++) {
        if (strcmp(tree->devices[i].bdf, bdf) == 0)
            return i;
    }
    return QG_PCI_NONE;
}

/* Devices that are only in the bus's own list: a tree without /sys/devices. */
static int walk_bus(struct qg_host *host, struct qg_pci_tree *tree, struct qg_err *err) {
    QG_AUTO(names) char **names = qg_host_list(host, bus_folder, err);
    if (!names)
        return -1;
    for (char **name = names; *name; name++) {
        struct qg_pci_device device = {.iommu_group = -1, .parent = QG_PCI_NONE};
        if (!parse_bdf(*name, &device) || qg_pci_tree_find(tree, *name) != QG_PCI_NONE)
            continue;
        QG_AUTO_STR char *path = qg_text_format("%s/%s", bus_folder, *name);
        if (!path)
            return qg_err_oom(err);
        if (add_from(host, tree, path, &device, err) < 0)
            return -1;
    }
    return 0;
}

int qg_pci_tree_read(struct qg_host *host, struct qg_pci_tree *tree, struct qg_err *err) {
    if (walk(host, tree, devices_folder, "", 0, err) < 0 || walk_bus(host, tree, err) < 0)
        return -1;
    qg_pci_tree_connect(tree);
    return 0;
}

static int compare(const void *left, const void *right) {
    const struct qg_pci_device *a = left, *b = right;
    uint64_t first =
        (uint64_t)a->domain << 32 | (uint32_t)a->bus << 16 | (uint32_t)a->slot << 8 | a->function;
    uint64_t second =
        (uint64_t)b->domain << 32 | (uint32_t)b->bus << 16 | (uint32_t)b->slot << 8 | b->function;
    return (first > second) - (first < second);
}

/* Only a bridge on a lower bus of the same domain is believed: numbers that lie make no circle. */
static bool can_be_above(const struct qg_pci_device *bridge, const struct qg_pci_device *device) {
    return bridge->domain == device->domain && bridge->bus < device->bus;
}

/* The bridge that the device sits behind: the one named, else the one whose secondary bus it is on.
 */
static size_t find_parent(const struct qg_pci_tree *tree, const struct qg_pci_device *device) {
    size_t by_numbers = QG_PCI_NONE;
    for (size_t i = 0; i < tree->count; i++) {
        const struct qg_pci_device *bridge = &tree->devices[i];
        if (!can_be_above(bridge, device))
            continue;
        if (strcmp(bridge->bdf, device->parent_bdf) == 0)
            return i;
        if (bridge->config.bridge && bridge->config.secondary == device->bus)
            by_numbers = i;
    }
    return by_numbers;
}

void qg_pci_tree_connect(struct qg_pci_tree *tree) {
    if (tree->count)
        qsort(tree->devices, tree->count, sizeof(*tree->devices), compare);
    for (size_t i = 0; i < tree->count; i++)
        tree->devices[i].parent = find_parent(tree, &tree->devices[i]);
}

bool qg_pci_is_multifunction(const struct qg_pci_device *device) {
    return device->function > 0 || device->config.multifunction;
}

bool qg_pci_same_slot(const struct qg_pci_device *a, const struct qg_pci_device *b) {
    return a->domain == b->domain && a->bus == b->bus && a->slot == b->slot;
}
