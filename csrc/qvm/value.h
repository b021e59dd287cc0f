/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Property values as users write them, as qubesd takes them, and as changes show them. */
#ifndef QG_QVM_VALUE_H
#define QG_QVM_VALUE_H

#include "doc/value.h"
#include "wire/property.h"

/* The word that means: back to qubesd's default. */
#define QG_DEFAULT_WORD "*default*"

/* True for the text QG_DEFAULT_WORD. */
bool qg_value_is_default_word(const json_t *value);

/* What has to be sent for a property of this type: null and (for a qube) `none` are "", a bool is
 * True or False. A number, bool or qube's name that cannot be one is QG_ERR_INVALID naming the key.
 * Owned by the caller. */
char *qg_value_for_property(const char *key, enum qg_property_type type, const json_t *value,
                            struct qg_err *err) QG_MUST_CHECK;

/* A property's text as a value of its type: number, bool, text, null for none. New value. */
json_t *qg_value_of_property(enum qg_property_type type, const char *text,
                             struct qg_err *err) QG_MUST_CHECK;

/* As changes show what is there: QG_DEFAULT_WORD for a default, else the typed value. New value. */
json_t *qg_value_shown(const struct qg_property *property, struct qg_err *err) QG_MUST_CHECK;

#endif
