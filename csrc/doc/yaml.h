/* SPDX-License-Identifier: GPL-3.0-or-later */
/* YAML in: one document into values, with the plain scalars of YAML 1.1 as Salt reads them. */
#ifndef QG_DOC_YAML_H
#define QG_DOC_YAML_H

#include "doc/value.h"

/* The value of the one document in text. null/~/empty, true/false/yes/no/on/off, decimal and 0x
 * integers and floats of plain scalars are typed; quoted scalars stay text. Anchors, aliases, tags,
 * duplicate keys, keys that are not scalars, nesting over QG_VALUE_DEPTH_MAX and several documents
 * are refused (QG_ERR_PARSE with line and column from 1). Owned by the caller; NULL on failure. */
json_t *qg_yaml_load(const char *text, size_t length, struct qg_err *err) QG_MUST_CHECK;

#endif
