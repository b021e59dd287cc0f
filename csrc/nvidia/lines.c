/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "nvidia/lines.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool is_one_of(char c, const char *set) {
    return c != '\0' && strchr(set, c) != NULL;
}

bool qg_span_is(struct qg_span span, const char *word) {
    return span.length == strlen(word) && memcmp(span.at, word, span.length) == 0;
}

bool qg_span_starts(struct qg_span span, const char *prefix) {
    size_t length = strlen(prefix);
    return span.length >= length && memcmp(span.at, prefix, length) == 0;
}

bool qg_span_ends(struct qg_span span, const char *suffix) {
    size_t length = strlen(suffix);
    return span.length >= length && memcmp(span.at + span.length - length, suffix, length) == 0;
}

struct qg_span qg_span_trim(struct qg_span span) {
    while (span.length && is_one_of(span.at[0], " \t\r\n")) {
        span.at++;
        span.length--;
    }
    while (span.length && is_one_of(span.at[span.length - 1], " \t\r\n"))
        span.length--;
    return span;
}

void qg_span_copy(struct qg_span span, char *out, size_t size) {
    size_t length = span.length < size ? span.length : size - 1;
    if (length)
        memcpy(out, span.at, length);
    out[length] = '\0';
}

char *qg_span_dup(struct qg_span span, struct qg_err *err) {
    char *copy = malloc(span.length + 1);
    if (!copy) {
        qg_err_oom(err);
        return NULL;
    }
    qg_span_copy(span, copy, span.length + 1);
    return copy;
}

bool qg_line_next(const char **rest, struct qg_span *line) {
    const char *at = *rest;
    if (*at == '\0')
        return false;
    size_t length = strcspn(at, "\n");
    *line = (struct qg_span){.at = at, .length = length};
    *rest = at + length + (at[length] == '\n');
    return true;
}

bool qg_word_next(struct qg_span *rest, const char *blanks, struct qg_span *word) {
    const char *at = rest->at, *end = rest->at + rest->length;
    while (at < end && is_one_of(*at, blanks))
        at++;
    const char *start = at;
    while (at < end && !is_one_of(*at, blanks))
        at++;
    *rest = (struct qg_span){.at = at, .length = (size_t)(end - at)};
    *word = (struct qg_span){.at = start, .length = (size_t)(at - start)};
    return word->length > 0;
}

bool qg_span_has_word(struct qg_span span, const char *blanks, const char *word) {
    struct qg_span found;
    while (qg_word_next(&span, blanks, &found)) {
        if (qg_span_is(found, word))
            return true;
    }
    return false;
}

int qg_buf_add_range(struct qg_buf *out, const char *from, const char *to, struct qg_err *err) {
    return qg_buf_add(out, from, (size_t)(to - from), err);
}
