/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "gpu/iommu.h"

#include "base/buf.h"
#include "gpu/iommu_quirk.h"

#include <stdlib.h>
#include <string.h>

/* Something that was found out about a device; why completes a sentence that begins with it. */
struct finding {
    size_t device; /* QG_PCI_NONE: nothing was found */
    const char *why;
};

/* What is known about a group. */
struct group {
    enum qg_iommu_sure sure;
    struct finding doubt; /* why it is not certain */
    struct finding cause; /* why devices share it */
};

struct qg_iommu {
    const struct qg_pci_tree *tree;
    size_t *of; /* group of each device */
    struct group *groups;
    size_t count;
};

/* Whether a device keeps its neighbours, or what is behind it, apart. */
struct isolation {
    bool on;
    enum qg_iommu_sure sure;
    const char *why;
};

static const char too_short[] = "could not be read beyond the first bytes of its configuration "
                                "space (root can, in dom0)";

void qg_iommu_free(struct qg_iommu *iommu) {
    if (!iommu)
        return;
    free(iommu->of);
    free(iommu->groups);
    free(iommu);
}

/* Control bits that are required only where the device has them. */
static struct isolation by_bits(uint32_t capability, uint32_t control) {
    uint32_t wanted = QG_ACS_ISOLATION & capability;
    bool on = (control & wanted) == wanted;
    return (struct isolation){.on = on, .why = on ? "separates by ACS" : "has ACS switched off"};
}

static struct isolation by_acs(const struct qg_pci_config *config) {
    if (config->acs == QG_PCI_UNKNOWN)
        return (struct isolation){.sure = QG_IOMMU_UNKNOWN, .why = too_short};
    if (config->acs == QG_PCI_NO)
        return (struct isolation){.why = "has no ACS"};
    return by_bits(config->acs_capability & 0xffff, config->acs_control);
}

static struct isolation by_quirk(const struct qg_pci_config *config,
                                 const struct qg_iommu_quirk *quirk) {
    struct isolation answer = {
        .on = true, .sure = QG_IOMMU_LIKELY, .why = qg_iommu_quirk_why(quirk)};
    if (quirk->kind != QG_QUIRK_WIDE_ACS)
        return answer;
    if (config->acs == QG_PCI_UNKNOWN)
        return (struct isolation){.sure = QG_IOMMU_UNKNOWN, .why = too_short};
    answer.on = by_bits(config->acs_capability, config->acs_wide_control).on;
    return answer;
}

/* What PCI Express asks of each kind of device. */
static struct isolation by_type(const struct qg_pci_device *device) {
    const struct qg_pci_config *config = &device->config;
    switch ((enum qg_pcie_type)config->pcie_type) {
    case QG_PCIE_ROOT_PORT:
    case QG_PCIE_DOWNSTREAM:
        return by_acs(config);
    case QG_PCIE_ENDPOINT:
    case QG_PCIE_LEGACY_ENDPOINT:
    case QG_PCIE_UPSTREAM:
    case QG_PCIE_INTEGRATED:
        if (qg_pci_is_multifunction(device))
            return by_acs(config);
        break;
    case QG_PCIE_TO_PCI:
    case QG_PCI_TO_PCIE:
        return (struct isolation){.why = "is a bridge to conventional PCI"};
    case QG_PCIE_EVENT_COLLECTOR:
        return (struct isolation){.why = "is an event collector, which has no ACS"};
    }
    return (struct isolation){.on = true, .why = "has one function"};
}

static struct isolation isolation_of(const struct qg_pci_device *device) {
    const struct qg_iommu_quirk *quirk = qg_iommu_quirk_find(device);
    if (quirk)
        return by_quirk(&device->config, quirk);
    if (device->config.pcie == QG_PCI_UNKNOWN)
        return (struct isolation){.sure = QG_IOMMU_UNKNOWN, .why = too_short};
    if (device->config.pcie == QG_PCI_NO)
        return (struct isolation){.why = "is conventional PCI, where devices see one another"};
    return by_type(device);
}

/* One device on its way to its group. */
struct search {
    struct qg_iommu *iommu;
    size_t top;         /* the highest device that it cannot be told apart from */
    struct group about; /* what was learned on the way */
};

static void doubt(struct group *about, enum qg_iommu_sure sure, struct finding finding) {
    if (sure > about->sure) {
        about->sure = sure;
        about->doubt = finding;
    }
}

/* Asks whether a device separates, and remembers what that says about the group. */
static bool separates(struct search *search, size_t device) {
    struct isolation answer = isolation_of(&search->iommu->tree->devices[device]);
    struct finding finding = {device, answer.why};
    doubt(&search->about, answer.sure, finding);
    if (!answer.on && search->about.cause.device == QG_PCI_NONE)
        search->about.cause = finding;
    return answer.on;
}

/* True where every bridge from this one up to the root separates. */
static bool path_separates(struct search *search, size_t bridge) {
    for (; bridge != QG_PCI_NONE; bridge = search->iommu->tree->devices[bridge].parent) {
        if (!separates(search, bridge))
            return false;
    }
    return true;
}

/* A bridge that puts an address of its own in place of those behind it. */
static bool is_alias(const struct qg_pci_device *bridge) {
    return bridge->config.pcie != QG_PCI_YES || bridge->config.pcie_type == QG_PCIE_TO_PCI ||
           bridge->config.pcie_type == QG_PCI_TO_PCIE;
}

/* Moves the search to the last bridge whose address the device uses. The group of a bridge on the
 * way that has one already, or QG_PCI_NONE. */
static size_t climb_aliases(struct search *search) {
    const struct qg_pci_device *devices = search->iommu->tree->devices;
    for (size_t at = devices[search->top].parent; at != QG_PCI_NONE; at = devices[at].parent) {
        if (!is_alias(&devices[at]))
            continue;
        bool unknown = devices[at].config.pcie == QG_PCI_UNKNOWN;
        struct finding finding = {
            at, unknown ? too_short : "gives everything behind it one address (conventional PCI)"};
        doubt(&search->about, unknown ? QG_IOMMU_UNKNOWN : QG_IOMMU_CERTAIN, finding);
        search->about.cause = finding;
        search->top = at;
        if (search->iommu->of[at] != QG_PCI_NONE)
            return search->iommu->of[at];
    }
    return QG_PCI_NONE;
}

/* Moves on up to where peers are kept apart. */
static size_t climb_to_isolation(struct search *search) {
    const struct qg_pci_device *devices = search->iommu->tree->devices;
    for (size_t at = devices[search->top].parent; at != QG_PCI_NONE; at = devices[at].parent) {
        if (path_separates(search, at))
            break;
        search->top = at;
        if (search->iommu->of[at] != QG_PCI_NONE)
            return search->iommu->of[at];
    }
    return QG_PCI_NONE;
}

/* True where one of two functions of a slot uses the other's address. */
static bool are_aliases(const struct qg_pci_device *a, const struct qg_pci_device *b) {
    return qg_pci_same_slot(a, b) &&
           (qg_iommu_quirk_alias(a) == b->function || qg_iommu_quirk_alias(b) == a->function);
}

/* The group of a function of the same slot that shares an address with the device. Linux asks for
 * that before it asks who separates. */
static size_t group_of_alias(struct search *search) {
    const struct qg_pci_tree *tree = search->iommu->tree;
    for (size_t i = 0; i < tree->count; i++) {
        if (i == search->top || search->iommu->of[i] == QG_PCI_NONE ||
            !are_aliases(&tree->devices[search->top], &tree->devices[i]))
            continue;
        struct finding finding = {search->top, "uses the address of another function"};
        doubt(&search->about, QG_IOMMU_LIKELY, finding);
        return search->iommu->of[i];
    }
    return QG_PCI_NONE;
}

/* Makes two groups one, whose number it returns; the last group takes the number that is left. */
static size_t unite(struct qg_iommu *iommu, size_t a, size_t b) {
    size_t kept = a < b ? a : b, gone = a < b ? b : a, last = --iommu->count;
    doubt(&iommu->groups[kept], iommu->groups[gone].sure, iommu->groups[gone].doubt);
    if (iommu->groups[kept].cause.device == QG_PCI_NONE)
        iommu->groups[kept].cause = iommu->groups[gone].cause;
    iommu->groups[gone] = iommu->groups[last];
    for (size_t i = 0; i < iommu->tree->count; i++) {
        size_t *group = &iommu->of[i];
        *group = *group == gone ? kept : *group == last ? gone : *group;
    }
    return kept;
}

/* The group of the other functions of the same slot that the device cannot be told apart from. They
 * may be in two groups, where one of them was put to a function that shares its address. */
static size_t group_in_slot(struct search *search) {
    const struct qg_pci_tree *tree = search->iommu->tree;
    const struct qg_pci_device *top = &tree->devices[search->top];
    size_t found = QG_PCI_NONE;
    if (!qg_pci_is_multifunction(top) || separates(search, search->top))
        return found;
    for (size_t i = 0; i < tree->count; i++) {
        size_t group = search->iommu->of[i];
        if (i == search->top || group == QG_PCI_NONE || group == found ||
            !qg_pci_same_slot(top, &tree->devices[i]) || separates(search, i))
            continue;
        found = found == QG_PCI_NONE ? group : unite(search->iommu, found, group);
    }
    return found;
}

/* Puts the device into its group, a new one where none fits. */
static void place(struct qg_iommu *iommu, size_t device) {
    struct search search = {.iommu = iommu,
                            .top = device,
                            .about = {.doubt = {QG_PCI_NONE, NULL}, .cause = {QG_PCI_NONE, NULL}}};
    size_t group = climb_aliases(&search);
    if (group == QG_PCI_NONE)
        group = climb_to_isolation(&search);
    if (group == QG_PCI_NONE)
        group = group_of_alias(&search);
    if (group == QG_PCI_NONE)
        group = group_in_slot(&search);
    if (group == QG_PCI_NONE) {
        group = iommu->count++;
        iommu->groups[group] = search.about;
    } else {
        doubt(&iommu->groups[group], search.about.sure, search.about.doubt);
        if (iommu->groups[group].cause.device == QG_PCI_NONE)
            iommu->groups[group].cause = search.about.cause;
    }
    iommu->of[device] = group;
}

struct qg_iommu *qg_iommu_new(const struct qg_pci_tree *tree, struct qg_err *err) {
    QG_AUTO(iommu) struct qg_iommu *iommu = calloc(1, sizeof(*iommu));
    if (iommu) {
        iommu->tree = tree;
        iommu->of = calloc(tree->count + 1, sizeof(*iommu->of));
        iommu->groups = calloc(tree->count + 1, sizeof(*iommu->groups));
    }
    if (!iommu || !iommu->of || !iommu->groups) {
        qg_err_oom(err);
        return NULL;
    }
    for (size_t i = 0; i < tree->count; i++)
        iommu->of[i] = QG_PCI_NONE;
    for (size_t i = 0; i < tree->count; i++) /* by address: bridges before what is behind them */
        place(iommu, i);
    return QG_STEAL(iommu);
}

size_t qg_iommu_group(const struct qg_iommu *iommu, size_t device) {
    return iommu->of[device];
}

size_t qg_iommu_count(const struct qg_iommu *iommu) {
    return iommu->count;
}

enum qg_iommu_sure qg_iommu_sure(const struct qg_iommu *iommu, size_t group) {
    return iommu->groups[group].sure;
}

const char *qg_iommu_sure_name(enum qg_iommu_sure sure) {
    static const char *const names[] = {"certain", "likely", "unknown"};
    return names[sure];
}

/* Sorts one member of the group into along, bridges or blocks. */
static int add_member(const struct qg_pci_device *of, const struct qg_pci_device *member,
                      json_t *out, struct qg_err *err) {
    bool bridge = member->config.bridge || member->class_code >> 16 == QG_PCI_CLASS_BRIDGE;
    const char *key = bridge ? "bridges" : qg_pci_same_slot(of, member) ? "along" : "blocks";
    return qg_value_append_take(json_object_get(out, key), qg_value_text(member->bdf, err), err);
}

/* A sentence about what makes the group what it is; shared: not by its own functions alone. */
static json_t *reason(const struct qg_iommu *iommu, const struct group *group, bool shared,
                      struct qg_err *err) {
    const struct qg_pci_device *devices = iommu->tree->devices;
    QG_AUTO(buf) struct qg_buf text = {0};
    bool caused = shared && group->cause.device != QG_PCI_NONE;
    bool doubted = group->doubt.device != QG_PCI_NONE &&
                   !(caused && group->doubt.device == group->cause.device &&
                     group->doubt.why == group->cause.why);
    if (caused &&
        qg_buf_printf(&text, err, "%s %s", devices[group->cause.device].bdf, group->cause.why) < 0)
        return NULL;
    if (doubted && qg_buf_printf(&text, err, "%s%s %s", caused ? "; " : "",
                                 devices[group->doubt.device].bdf, group->doubt.why) < 0)
        return NULL;
    if (!caused && !doubted &&
        qg_buf_puts(&text, "everything on the way to the root separates its devices", err) < 0)
        return NULL;
    if (group->sure == QG_IOMMU_UNKNOWN &&
        qg_buf_puts(&text, ": the real group may be smaller", err) < 0)
        return NULL;
    return qg_value_text(qg_buf_text(&text), err);
}

json_t *qg_iommu_value(const struct qg_iommu *iommu, size_t device, struct qg_err *err) {
    static const char *const lists[] = {"along", "bridges", "blocks"};
    const struct qg_pci_device *devices = iommu->tree->devices;
    const struct group *group = &iommu->groups[iommu->of[device]];
    QG_AUTO(json) json_t *out = qg_value_object(err);
    for (size_t i = 0; i < QG_ARRAY_LEN(lists); i++) {
        if (!out || qg_value_set_take(out, lists[i], qg_value_array(err), err) < 0)
            return NULL;
    }
    for (size_t i = 0; i < iommu->tree->count; i++) {
        if (i == device || iommu->of[i] != iommu->of[device])
            continue;
        if (add_member(&devices[device], &devices[i], out, err) < 0)
            return NULL;
    }
    bool shared = json_array_size(json_object_get(out, "bridges")) ||
                  json_array_size(json_object_get(out, "blocks"));
    if (qg_value_set_take(out, "sure", qg_value_text(qg_iommu_sure_name(group->sure), err), err) <
            0 ||
        qg_value_set_take(out, "reason", reason(iommu, group, shared, err), err) < 0)
        return NULL;
    return QG_STEAL(out);
}
