/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What the fuzzers share: parts of an input as texts of their own, and what must hold. */
#ifndef QG_FUZZ_H
#define QG_FUZZ_H

#include "base/cleanup.h"
#include "base/err.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Stops the fuzzer, which keeps the input. */
#define MUST(condition)                                                                            \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: %s does not hold\n", __FILE__, __LINE__, #condition);          \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

/* A failure says what it is, in clean text; anything else says nothing. */
static inline void must_explain(int status, const struct qg_err *err) {
    MUST((status < 0) == (err->kind != QG_ERR_NONE));
    for (const char *at = err->text; *at; at++)
        MUST((unsigned char)*at >= ' ' && *at != 0x7f);
}

/* An input while it is taken apart. */
struct input {
    const uint8_t *at;
    size_t left;
};

static inline uint8_t take_byte(struct input *input) {
    if (input->left == 0)
        return 0;
    input->left--;
    return *input->at++;
}

/* The bytes up to a NUL or the end, as a text of their own: no byte behind it can be read
 * unnoticed. */
static inline char *take_text(struct input *input) {
    const uint8_t *end = input->left ? memchr(input->at, '\0', input->left) : NULL;
    size_t length = end ? (size_t)(end - input->at) : input->left;
    char *text = malloc(length + 1);
    MUST(text != NULL);
    if (length)
        memcpy(text, input->at, length);
    text[length] = '\0';
    input->at += length + (end != NULL);
    input->left -= length + (end != NULL);
    return text;
}

#endif
