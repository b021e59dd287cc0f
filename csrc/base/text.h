/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Text without locale: cleaning what comes from outside, numbers, nearest words. */
#ifndef QG_BASE_TEXT_H
#define QG_BASE_TEXT_H

#include "base/cleanup.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Replaces what a terminal or a log must not see, in place, with `?`: control characters (newline
 * and tab too), DEL and C1, bytes that are not valid UTF-8, and marks that change the direction of
 * text or are invisible. */
void qg_text_clean(char *text);

/* As qg_text_clean, but newlines stay: for blocks of a program's output. */
void qg_text_clean_block(char *text);

/* As qg_text_clean, but newlines and tabs stay: for values that others read on. */
void qg_text_clean_data(char *text);

/* True where qg_text_clean_data leaves the text as it is. */
bool qg_text_is_clean_data(const char *text);

/* True where the bytes are valid UTF-8 (no surrogates, no overlong forms) and hold no NUL. */
bool qg_text_is_utf8(const char *text, size_t length);

bool qg_text_starts(const char *text, const char *prefix);
bool qg_text_ends(const char *text, const char *suffix);

/* Parses a decimal integer with an optional leading `-`, the whole text; false where it is anything
 * else or overflows. */
bool qg_text_to_int(const char *text, int64_t *out);

/* Parses the whole text as hexadecimal, an optional `0x` first; false where it is anything else or
 * over UINT64_MAX. */
bool qg_text_to_hex(const char *text, uint64_t *out);

/* The candidate (of a NULL-terminated list) nearest to word by edit distance, `-` and `_` and case
 * being equal; NULL where none is near enough to be meant. Borrowed from the list. */
const char *qg_text_nearest(const char *word, const char *const *candidates);

/* malloc'd printf; NULL when out of memory. */
char *qg_text_format(const char *format, ...) QG_PRINTF(1, 2) QG_MUST_CHECK;

#endif
