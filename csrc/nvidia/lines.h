/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Lines and words of a text that stays where it is. */
#ifndef QG_NVIDIA_LINES_H
#define QG_NVIDIA_LINES_H

#include "base/buf.h"

#include <stdbool.h>
#include <stddef.h>

/* A part of somebody else's text. */
struct qg_span {
    const char *at;
    size_t length;
};

bool qg_span_is(struct qg_span span, const char *word);
bool qg_span_starts(struct qg_span span, const char *prefix);
bool qg_span_ends(struct qg_span span, const char *suffix);

/* Without blanks (a carriage return is one) at either end. */
struct qg_span qg_span_trim(struct qg_span span);

/* Copies it, cut to size - 1 bytes and terminated. */
void qg_span_copy(struct qg_span span, char *out, size_t size);

/* malloc'd copy; NULL on oom. */
char *qg_span_dup(struct qg_span span, struct qg_err *err) QG_MUST_CHECK;

/* The next line behind *rest, without its newline (a carriage return stays); *rest moves behind it.
 * False at the end of the text. */
bool qg_line_next(const char **rest, struct qg_span *line);

/* The next word of a span, cut off it; words are separated by any of the bytes in blanks. */
bool qg_word_next(struct qg_span *rest, const char *blanks, struct qg_span *word);

/* True where the span holds the word. */
bool qg_span_has_word(struct qg_span span, const char *blanks, const char *word);

/* Appends the bytes from `from` up to (not with) `to`. */
int qg_buf_add_range(struct qg_buf *out, const char *from, const char *to, struct qg_err *err);

#endif
