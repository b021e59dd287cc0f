/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The PCI tree as rows of a page. */
#include "gpu/report.h"

#include "base/text.h"
#include "qubes/device.h"

#include <string.h>

/* What a row is made from. */
struct rows {
    const struct qg_survey *survey;
    const struct qg_iommu *iommu;
    size_t marked; /* group of the card, QG_PCI_NONE: none */
    json_t *out;
};

/* qubesd's line for the address, NULL where it has none. */
static const json_t *line_of(const struct qg_survey *survey, const char *bdf) {
    size_t i;
    json_t *line;
    char other[16];
    json_array_foreach(survey->available, i, line) {
        if (qg_device_bdf(line, other) && strcmp(other, bdf) == 0)
            return line;
    }
    return NULL;
}

static json_t *name_of(const json_t *line, struct qg_err *err) {
    const char *vendor = qg_value_get_text(line, "vendor");
    const char *product = qg_value_get_text(line, "product");
    QG_AUTO_STR char *name = qg_text_format("%s%s%s", vendor ? vendor : "",
                                            vendor && product ? " " : "", product ? product : "");
    if (!name) {
        qg_err_oom(err);
        return NULL;
    }
    qg_text_clean(name);
    return qg_value_text(name, err);
}

static int set_rest(json_t *row, const struct qg_pci_device *device, const json_t *line, bool mark,
                    struct qg_err *err) {
    return qg_value_set_take(row, "kind", qg_value_text(qg_pci_kind(device->class_code), err),
                             err) < 0 ||
                   qg_value_set_take(row, "name", name_of(line, err), err) < 0 ||
                   qg_value_set_take(
                       row, "ids",
                       qg_value_format(err, "%04x:%04x", device->vendor, device->device),
                       err) < 0 ||
                   qg_value_set_take(row, "driver",
                                     qg_value_text(device->driver ? device->driver : "", err),
                                     err) < 0 ||
                   qg_value_set_take(row, "marked", json_boolean(mark), err) < 0
               ? -1
               : 0;
}

static int add_row(struct rows *rows, size_t at, int depth, const json_t *line,
                   struct qg_err *err) {
    const struct qg_pci_tree *tree = &rows->survey->tree;
    const struct qg_pci_device *device = &tree->devices[at];
    size_t group = qg_iommu_group(rows->iommu, at);
    QG_AUTO(json) json_t *row = qg_value_object(err);
    if (!row || qg_value_set_take(row, "bdf", qg_value_text(device->bdf, err), err) < 0 ||
        qg_value_set_take(row, "depth", qg_value_int(depth, err), err) < 0 ||
        qg_value_set_take(row, "parent",
                          device->parent == QG_PCI_NONE
                              ? json_null()
                              : qg_value_text(tree->devices[device->parent].bdf, err),
                          err) < 0 ||
        qg_value_set_take(row, "group", qg_value_int((long long)group, err), err) < 0 ||
        set_rest(row, device, line, group == rows->marked, err) < 0)
        return -1;
    return qg_value_append_take(rows->out, QG_STEAL(row), err);
}

/* The devices on one bus, each followed by those behind it. Buses below have higher numbers, so
 * this ends. */
static int add_bus(struct rows *rows, size_t parent, int depth, struct qg_err *err) {
    const struct qg_pci_tree *tree = &rows->survey->tree;
    for (size_t i = 0; i < tree->count; i++) {
        if (tree->devices[i].parent != parent)
            continue;
        const json_t *line = line_of(rows->survey, tree->devices[i].bdf);
        if ((line && add_row(rows, i, depth, line, err) < 0) ||
            add_bus(rows, i, depth + (line != NULL), err) < 0)
            return -1;
    }
    return 0;
}

json_t *qg_report_tree(const struct qg_survey *survey, const json_t *card, struct qg_err *err) {
    QG_AUTO(iommu) struct qg_iommu *iommu = qg_iommu_new(&survey->tree, err);
    QG_AUTO(json) json_t *out = qg_value_array(err);
    if (!iommu || !out)
        return NULL;
    const char *bdf = qg_value_get_text(card, "bdf");
    size_t at = bdf ? qg_pci_tree_find(&survey->tree, bdf) : QG_PCI_NONE;
    struct rows rows = {.survey = survey,
                        .iommu = iommu,
                        .marked = at == QG_PCI_NONE ? QG_PCI_NONE : qg_iommu_group(iommu, at),
                        .out = out};
    return add_bus(&rows, QG_PCI_NONE, 0, err) < 0 ? NULL : QG_STEAL(out);
}
