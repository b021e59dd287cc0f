/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A qube's properties as qubesd lists them, and how their values compare. */
#ifndef QG_WIRE_PROPERTY_H
#define QG_WIRE_PROPERTY_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>

enum qg_property_type {
    QG_PROPERTY_STR,
    QG_PROPERTY_INT,
    QG_PROPERTY_BOOL,
    QG_PROPERTY_VM,
    QG_PROPERTY_LABEL,
};

struct qg_property {
    const char *name;           /* borrowed from the properties */
    const char *value;          /* as qubesd prints it; "" for none; borrowed from the properties */
    char *own_name, *own_value; /* what was put later than parsed; else NULL */
    enum qg_property_type type;
    bool is_default;
};

struct qg_properties {
    struct qg_property *items;
    size_t count, size;
    char *text; /* names and values of those that were parsed */
};

void qg_properties_fini(struct qg_properties *properties);
QG_DEFINE_AUTO_FINI(properties, struct qg_properties, qg_properties_fini)

/* The data of admin.vm.property.GetAll: a line `name default=True type=int value` each, backslash
 * and newline in the value escaped. out must be empty. */
int qg_properties_parse(const char *data, size_t length, struct qg_properties *out,
                        struct qg_err *err);

/* NULL where there is none of that name; borrowed. */
struct qg_property *qg_properties_find(const struct qg_properties *properties, const char *name);

/* The value, "" where there is no such property; borrowed. */
const char *qg_properties_value(const struct qg_properties *properties, const char *name);

/* Adds a property or changes value and is_default of one that is there. */
int qg_properties_put(struct qg_properties *properties, const char *name,
                      enum qg_property_type type, const char *value, bool is_default,
                      struct qg_err *err);

int qg_properties_copy(const struct qg_properties *from, struct qg_properties *to,
                       struct qg_err *err);

/* True where qubesd would store the same for both: `04000` = `4000` for int, `true` = `1` = `True`
 * for bool, `HVM` = `hvm` for virt_mode, the label's index = its name. */
bool qg_property_equal(const char *name, enum qg_property_type type, const char *a, const char *b);

/* True for a label that every Qubes has: qubesd does not let go of it. */
bool qg_label_is_usual(const char *text);

/* The word in GetAll's lines. Static. */
const char *qg_property_type_name(enum qg_property_type type);

#endif
