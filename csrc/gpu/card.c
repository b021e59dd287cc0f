/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "gpu/card.h"

#include "base/buf.h"
#include "base/text.h"
#include "qubes/device.h"

#include <stdlib.h>
#include <string.h>

enum { VENDOR_NVIDIA = 0x10de };

/* A class and what to call it; the first that fits. */
static const struct {
    uint32_t code;
    unsigned shift; /* how many low bits do not matter */
    char name[12];
} kinds[] = {
    {0x0300, 8, "display"},     {0x0302, 8, "3D"},         {0x03, 16, "display"},
    {0x0403, 8, "audio"},       {0x0401, 8, "audio"},      {0x0c0330, 0, "USB"},
    {0x0c03, 8, "USB"},         {0x0c80, 8, "UCSI"},       {0x0c05, 8, "SMBus"},
    {0x0200, 8, "Ethernet"},    {0x0280, 8, "network"},    {0x02, 16, "network"},
    {0x0106, 8, "SATA"},        {0x0108, 8, "NVMe"},       {0x01, 16, "storage"},
    {0x0600, 8, "host bridge"}, {0x0601, 8, "ISA bridge"}, {0x0604, 8, "PCI bridge"},
    {0x06, 16, "bridge"},       {0x08, 16, "system"},      {0x0c, 16, "serial bus"},
    {0x12, 16, "accelerator"},
};

const char *qg_pci_kind(uint32_t class_code) {
    for (size_t i = 0; i < QG_ARRAY_LEN(kinds); i++) {
        if (class_code >> kinds[i].shift == kinds[i].code)
            return kinds[i].name;
    }
    return "device";
}

/* What one line of Available says, as numbers. */
struct line {
    const char *port, *identity; /* borrowed */
    char bdf[16];                /* "" where it is not known */
    bool has_ids;                /* R4.2 tells none */
    uint64_t vendor, device;
    uint64_t class_code;
};

/* Cuts the hexadecimal number off the front of *text; false where there is none. */
static bool cut_hex(const char **text, char end, uint64_t *out) {
    const char *stop = strchr(*text, end);
    char digits[20];
    size_t length = stop ? (size_t)(stop - *text) : 0;
    if (length == 0 || length >= sizeof(digits))
        return false;
    memcpy(digits, *text, length);
    digits[length] = '\0';
    *text = stop + 1;
    return qg_text_to_hex(digits, out);
}

/* The class from `p030000...`: what qubesd calls the device's interfaces. */
static uint64_t class_of(const json_t *device, const char *identity) {
    const char *text = qg_value_get_text(device, "interfaces");
    const char *last = strrchr(identity, ':');
    if (!text || text[0] != 'p')
        text = last ? last + 1 : "";
    char digits[7];
    uint64_t number;
    if (text[0] != 'p' || strlen(text) < sizeof(digits))
        return 0;
    memcpy(digits, text + 1, sizeof(digits) - 1);
    digits[sizeof(digits) - 1] = '\0';
    return qg_text_to_hex(digits, &number) ? number : 0;
}

static bool parse_line(const json_t *device, struct line *line) {
    *line = (struct line){.port = qg_value_get_text(device, "port_id"),
                          .identity = qg_value_get_text(device, "device_id")};
    if (!line->port || !strrchr(line->port, '.'))
        return false;
    if (!line->identity)
        line->identity = "*";
    if (!qg_device_bdf(device, line->bdf))
        line->bdf[0] = '\0';
    const char *at = line->identity;
    line->has_ids = cut_hex(&at, ':', &line->vendor) && cut_hex(&at, ':', &line->device);
    line->class_code = class_of(device, line->identity);
    return true;
}

bool qg_pci_is_bridge(const json_t *device) {
    struct line line;
    return parse_line(device, &line) && line.class_code >> 16 == QG_PCI_CLASS_BRIDGE;
}

static bool is_display(uint64_t class_code) {
    return class_code >> 16 == QG_PCI_CLASS_DISPLAY;
}

/* The tree's entry for a line, NULL where it has none or another computer's. */
static const struct qg_pci_device *entry_of(const struct qg_pci_tree *tree,
                                            const struct line *line) {
    size_t at = tree && line->bdf[0] ? qg_pci_tree_find(tree, line->bdf) : QG_PCI_NONE;
    const struct qg_pci_device *entry = at == QG_PCI_NONE ? NULL : &tree->devices[at];
    bool same =
        entry && entry->class_code == line->class_code &&
        (!line->has_ids || (entry->vendor == line->vendor && entry->device == line->device));
    return same ? entry : NULL;
}

/* Sets a clean copy of the text, null for NULL. */
static int set_text(json_t *object, const char *key, const char *text, struct qg_err *err) {
    return qg_value_set_take(object, key, text ? qg_value_line(text, err) : json_null(), err);
}

static int set_number(json_t *object, const char *key, bool known, uint64_t number, int digits,
                      struct qg_err *err) {
    return qg_value_set_take(
        object, key,
        known ? qg_value_format(err, "%0*llx", digits, (unsigned long long)number) : json_null(),
        err);
}

/* What a function is. */
static int set_identity(json_t *out, const json_t *device, const struct line *line,
                        const struct qg_pci_device *entry, struct qg_err *err) {
    bool ids = line->has_ids || entry;
    uint64_t vendor = line->has_ids || !entry ? line->vendor : entry->vendor;
    uint64_t product = line->has_ids || !entry ? line->device : entry->device;
    if (set_text(out, "bdf", line->bdf[0] ? line->bdf : NULL, err) < 0 ||
        set_text(out, "port", line->port, err) < 0 ||
        set_text(out, "identity", line->identity, err) < 0 ||
        set_text(out, "vendor", qg_value_get_text(device, "vendor"), err) < 0 ||
        set_text(out, "product", qg_value_get_text(device, "product"), err) < 0 ||
        set_number(out, "vendor_id", ids, vendor, 4, err) < 0 ||
        set_number(out, "product_id", ids, product, 4, err) < 0 ||
        set_number(out, "class", true, line->class_code, 6, err) < 0)
        return -1;
    return set_text(out, "kind", qg_pci_kind((uint32_t)line->class_code), err);
}

static bool is_pciback(const char *driver) {
    return driver && (strcmp(driver, "pciback") == 0 || strcmp(driver, "xen-pciback") == 0);
}

static json_t *function_value(const json_t *device, const struct line *line,
                              const struct qg_pci_device *entry, struct qg_err *err) {
    QG_AUTO(json) json_t *out = qg_value_object(err);
    const char *driver = !entry ? NULL : entry->driver ? entry->driver : "";
    if (!out || set_identity(out, device, line, entry, err) < 0 ||
        set_text(out, "driver", driver, err) < 0 ||
        qg_value_set_take(out, "hidden",
                          entry ? json_boolean(is_pciback(entry->driver)) : json_null(), err) < 0 ||
        qg_value_set_take(out, "assigned", qg_value_array(err), err) < 0 ||
        qg_value_set_take(out, "attached", qg_value_array(err), err) < 0)
        return NULL;
    return QG_STEAL(out);
}

/* The part of a port that all functions of a slot have in common. */
static bool same_slot(const char *a, const char *b) {
    size_t length = (size_t)(strrchr(a, '.') - a);
    return strncmp(a, b, length) == 0 && b + length == strrchr(b, '.');
}

/* The boot display as sysfs tells it: a 3D controller can draw no picture for the firmware. */
static json_t *display_value(const struct line *line, const struct qg_pci_device *entry) {
    if (line->class_code >> 8 == 0x0302)
        return json_false();
    if (!entry || entry->boot_vga == QG_PCI_UNKNOWN)
        return json_null();
    return json_boolean(entry->boot_vga == QG_PCI_YES);
}

/* All functions of the slot, by port. */
static json_t *functions_of(const json_t *available, const char *port,
                            const struct qg_pci_tree *tree, struct qg_err *err) {
    QG_AUTO(json) json_t *out = qg_value_array(err);
    size_t i;
    json_t *device;
    json_array_foreach(qg_value_mutable(available), i, device) {
        struct line line;
        if (!out)
            return NULL;
        if (!parse_line(device, &line) || !same_slot(line.port, port) ||
            line.class_code >> 16 == QG_PCI_CLASS_BRIDGE)
            continue;
        if (qg_value_append_take(out, function_value(device, &line, entry_of(tree, &line), err),
                                 err) < 0)
            return NULL;
    }
    return QG_STEAL(out);
}

static json_t *group_value(const struct qg_pci_tree *tree, const struct qg_iommu *iommu,
                           const struct qg_pci_device *entry, struct qg_err *err) {
    if (!entry)
        return json_null();
    return qg_iommu_value(iommu, (size_t)(entry - tree->devices), err);
}

static json_t *card_value(const json_t *available, const json_t *device, const struct line *line,
                          const struct qg_pci_tree *tree, const struct qg_iommu *iommu,
                          struct qg_err *err) {
    QG_AUTO(json) json_t *out = qg_value_object(err);
    const struct qg_pci_device *entry = entry_of(tree, line);
    if (!out || set_identity(out, device, line, entry, err) < 0 ||
        qg_value_set_take(out, "display", display_value(line, entry), err) < 0 ||
        qg_value_set_take(out, "memory",
                          entry && entry->resources.largest <= INT64_MAX
                              ? qg_value_int((long long)entry->resources.largest, err)
                              : json_null(),
                          err) < 0 ||
        qg_value_set_take(out, "functions", functions_of(available, line->port, tree, err), err) <
            0 ||
        qg_value_set_take(out, "assigned", qg_value_array(err), err) < 0 ||
        qg_value_set_take(out, "attached", qg_value_array(err), err) < 0 ||
        qg_value_set_take(out, "group", group_value(tree, iommu, entry, err), err) < 0)
        return NULL;
    return QG_STEAL(out);
}

/* By address; by port where there is none. */
static int compare_cards(const void *left, const void *right) {
    const json_t *const *a = left, *const *b = right;
    const char *first = qg_value_get_text(*a, "bdf"), *second = qg_value_get_text(*b, "bdf");
    if (first && second)
        return strcmp(first, second);
    return strcmp(qg_value_get_text(*a, "port"), qg_value_get_text(*b, "port"));
}

static json_t *sorted(const json_t *list, struct qg_err *err) {
    size_t count = json_array_size(list);
    json_t **items = calloc(count + 1, sizeof(*items));
    QG_AUTO(json) json_t *out = qg_value_array(err);
    if (!items)
        qg_err_oom(err);
    for (size_t i = 0; items && i < count; i++)
        items[i] = json_array_get(list, i);
    if (items)
        qsort(items, count, sizeof(json_t *), compare_cards);
    bool done = items && out;
    for (size_t i = 0; done && i < count; i++)
        done = qg_value_append_take(out, json_incref(items[i]), err) == 0;
    free(items);
    return done ? QG_STEAL(out) : NULL;
}

/* There is one boot display: where one card is known to be it, the others are not. */
static int settle_display(json_t *cards, struct qg_err *err) {
    size_t i;
    json_t *card;
    bool known = false;
    json_array_foreach(cards, i, card) {
        known = known || json_is_true(json_object_get(card, "display"));
    }
    json_array_foreach(cards, i, card) {
        if (known && json_is_null(json_object_get(card, "display")) &&
            qg_value_set_take(card, "display", json_false(), err) < 0)
            return -1;
    }
    return 0;
}

/* True where an earlier function of the same slot made a card already. */
static bool has_slot(const json_t *cards, const char *port) {
    size_t i;
    json_t *card;
    json_array_foreach(qg_value_mutable(cards), i, card) {
        if (same_slot(qg_value_get_text(card, "port"), port))
            return true;
    }
    return false;
}

json_t *qg_cards_find(const json_t *available, const struct qg_pci_tree *tree, struct qg_err *err) {
    static const struct qg_pci_tree none = {0};
    QG_AUTO(iommu) struct qg_iommu *iommu = qg_iommu_new(tree ? tree : &none, err);
    QG_AUTO(json) json_t *found = qg_value_array(err);
    QG_AUTO(json) json_t *devices = found && iommu ? qg_value_array(err) : NULL;
    size_t i;
    json_t *device;
    json_array_foreach(qg_value_mutable(available), i, device) {
        struct line line;
        if (!devices)
            return NULL;
        if (!parse_line(device, &line) || !is_display(line.class_code) ||
            has_slot(found, line.port))
            continue;
        if (qg_value_append_take(
                found, card_value(available, device, &line, tree ? tree : &none, iommu, err), err) <
            0)
            return NULL;
    }
    QG_AUTO(json) json_t *cards = devices ? sorted(found, err) : NULL;
    return cards && settle_display(cards, err) == 0 ? QG_STEAL(cards) : NULL;
}

static int add_once(json_t *list, const char *text, struct qg_err *err) {
    size_t i;
    json_t *item;
    json_array_foreach(list, i, item) {
        if (strcmp(json_string_value(item), text) == 0)
            return 0;
    }
    return qg_value_append_take(list, qg_value_text(text, err), err);
}

/* True where the line is about this function: ports equal, identities too unless one is any. */
static bool is_about(const json_t *device, const json_t *function) {
    const char *port = qg_value_get_text(device, "port_id");
    const char *identity = qg_value_get_text(device, "device_id");
    const char *ours = qg_value_get_text(function, "identity");
    const char *backend = qg_value_get_text(device, "backend_domain");
    return port && strcmp(port, qg_value_get_text(function, "port")) == 0 &&
           (!backend || strcmp(backend, "dom0") == 0) &&
           (!identity || strcmp(identity, "*") == 0 || strcmp(ours, "*") == 0 ||
            strcmp(identity, ours) == 0);
}

static void remove_text(json_t *list, const char *text) {
    for (size_t i = json_array_size(list); i-- > 0;)
        if (strcmp(json_string_value(json_array_get(list, i)), text) == 0)
            json_array_remove(list, i);
}

static void forget_qube(json_t *card, const char *qube, const char *key) {
    size_t i;
    json_t *function;
    remove_text(json_object_get(card, key), qube);
    json_array_foreach(json_object_get(card, "functions"), i, function) {
        remove_text(json_object_get(function, key), qube);
    }
}

static int note_card(json_t *card, const char *qube, const json_t *device, const char *key,
                     struct qg_err *err) {
    size_t i;
    json_t *function;
    json_array_foreach(json_object_get(card, "functions"), i, function) {
        if (is_about(device, function) &&
            (add_once(json_object_get(function, key), qube, err) < 0 ||
             add_once(json_object_get(card, key), qube, err) < 0))
            return -1;
    }
    return 0;
}

int qg_cards_note_qube(json_t *cards, const char *qube, const json_t *devices, bool attached,
                       struct qg_err *err) {
    const char *key = attached ? "attached" : "assigned";
    size_t i, j;
    json_t *card, *device;
    json_array_foreach(cards, i, card) {
        forget_qube(card, qube, key);
        json_array_foreach(qg_value_mutable(devices), j, device) {
            if (note_card(card, qube, device, key, err) < 0)
                return -1;
        }
    }
    return 0;
}

char *qg_card_describe(const json_t *card, struct qg_err *err) {
    static const char *const names[] = {"vendor", "product"};
    QG_AUTO(buf) struct qg_buf out = {0};
    const char *bdf = qg_value_get_text(card, "bdf");
    if (qg_buf_puts(&out, bdf ? bdf : qg_value_get_text(card, "port"), err) < 0)
        return NULL;
    for (size_t i = 0; i < QG_ARRAY_LEN(names); i++) {
        const char *name = qg_value_get_text(card, names[i]);
        if (name && qg_buf_printf(&out, err, " %s", name) < 0)
            return NULL;
    }
    const char *vendor = qg_value_get_text(card, "vendor_id");
    const char *product = qg_value_get_text(card, "product_id");
    if (vendor && product && qg_buf_printf(&out, err, " (%s:%s)", vendor, product) < 0)
        return NULL;
    return qg_buf_steal(&out, err);
}

json_t *qg_card_refs(const json_t *card, struct qg_err *err) {
    QG_AUTO(json) json_t *refs = qg_value_array(err);
    size_t i;
    json_t *function;
    json_array_foreach(json_object_get(card, "functions"), i, function) {
        const char *port = qg_value_get_text(function, "port");
        const char *identity = qg_value_get_text(function, "identity");
        bool any = strcmp(identity, "*") == 0;
        if (!refs ||
            qg_value_append_take(
                refs, qg_value_format(err, "%s%s%s", port, any ? "" : ":", any ? "" : identity),
                err) < 0)
            return NULL;
    }
    return QG_STEAL(refs);
}
