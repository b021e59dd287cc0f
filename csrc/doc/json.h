/* SPDX-License-Identifier: GPL-3.0-or-later */
/* JSON in (RFC 8259): a text into values. Out it goes with qg_value_dump.
 *
 * Not by jansson's json_loadb, whose lexer passes over a buffer that could not grow (strbuffer.c
 * and lex_save in load.c, 2.14): what was read is shortened then, or read past its end. */
#ifndef QG_DOC_JSON_H
#define QG_DOC_JSON_H

#include "doc/value.h"

/* The one value in text. Integers are 64 bits wide. NUL characters, duplicate keys, nesting over
 * QG_VALUE_DEPTH_MAX and anything that follows are refused (QG_ERR_PARSE with line and column from
 * 1). Owned by the caller; NULL on failure. */
json_t *qg_json_load(const char *text, size_t length, struct qg_err *err) QG_MUST_CHECK;

#endif
