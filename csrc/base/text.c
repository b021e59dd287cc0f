/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "base/text.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Length of the valid UTF-8 sequence at text (RFC 3629), its code point in *code; 0 where there is
 * none. */
static size_t utf8_next(const unsigned char *text, size_t left, uint32_t *code) {
    static const uint32_t lowest[] = {0, 0, 0x80, 0x800, 0x10000};
    unsigned char first = text[0];
    size_t length = first < 0x80   ? 1
                    : first < 0xc2 ? 0
                    : first < 0xe0 ? 2
                    : first < 0xf0 ? 3
                    : first < 0xf5 ? 4
                                   : 0;
    if (length == 0 || length > left)
        return 0;
    if (length == 1) {
        *code = first;
        return 1;
    }
    uint32_t value = first & (0xffu >> (length + 1));
    for (size_t i = 1; i < length; i++) {
        if ((text[i] & 0xc0) != 0x80)
            return 0;
        value = value << 6 | (text[i] & 0x3fu);
    }
    if (value < lowest[length] || value > 0x10ffff || (value >= 0xd800 && value <= 0xdfff))
        return 0;
    *code = value;
    return length;
}

/* Code points that move a terminal's cursor, reorder what a reader sees, or are not seen at all and
 * make two names look like one: controls, and Unicode's Bidi_Control and invisible format ones. */
static bool is_harmful(uint32_t code) {
    static const struct {
        uint32_t first, last;
    } ranges[] = {
        {0x00, 0x1f},     {0x7f, 0x9f},     {0xad, 0xad},       {0x61c, 0x61c},
        {0x180e, 0x180e}, {0x200b, 0x200f}, {0x2028, 0x202e},   {0x2060, 0x206f},
        {0xfeff, 0xfeff}, {0xfff9, 0xfffb}, {0xe0000, 0xe007f},
    };
    for (size_t i = 0; i < QG_ARRAY_LEN(ranges); i++)
        if (code >= ranges[i].first && code <= ranges[i].last)
            return true;
    return false;
}

/* Length of the plain printable ASCII at the text's start: nearly all text is nothing else. */
static size_t plain_length(const char *text) {
    size_t length = 0;
    while (text[length] >= ' ' && text[length] <= '~')
        length++;
    return length;
}

/* True where the character at the text's start may stay; *length is its size. */
static bool may_stay(const unsigned char *text, size_t left, const char *kept, size_t *length) {
    uint32_t code = *text;
    *length = code < 0x80 ? 1 : utf8_next(text, left, &code);
    if (*length == 0) {
        *length = 1;
        return false;
    }
    return !is_harmful(code) || (code < 0x80 && strchr(kept, (int)code));
}

static void clean(char *text, const char *kept) {
    text += plain_length(text);
    const unsigned char *from = (const unsigned char *)text;
    size_t left = strlen(text);
    char *to = text;
    while (left) {
        size_t length;
        if (may_stay(from, left, kept, &length)) {
            memmove(to, from, length);
            to += length;
        } else {
            *to++ = '?';
        }
        from += length;
        left -= length;
    }
    *to = '\0';
}

void qg_text_clean(char *text) {
    clean(text, "");
}

void qg_text_clean_block(char *text) {
    clean(text, "\n");
}

static const char kept_in_data[] = "\n\t";

void qg_text_clean_data(char *text) {
    clean(text, kept_in_data);
}

bool qg_text_is_clean_data(const char *text) {
    text += plain_length(text);
    const unsigned char *from = (const unsigned char *)text;
    size_t length;
    for (size_t left = strlen(text); left; left -= length, from += length)
        if (!may_stay(from, left, kept_in_data, &length))
            return false;
    return true;
}

/* Bytes at the front that are ASCII, in blocks of four words, then in words. */
static size_t ascii_length(const unsigned char *text, size_t length) {
    size_t at = 0;
    uint64_t words[4], mask = 0x8080808080808080u;
    for (; length - at >= sizeof(words); at += sizeof(words)) {
        memcpy(words, text + at, sizeof(words));
        if ((words[0] | words[1] | words[2] | words[3]) & mask)
            break;
    }
    for (; length - at >= sizeof(*words); at += sizeof(*words)) {
        memcpy(words, text + at, sizeof(*words));
        if (*words & mask)
            break;
    }
    return at;
}

bool qg_text_is_utf8(const char *text, size_t length) {
    const unsigned char *from = (const unsigned char *)text;
    if (length && memchr(text, '\0', length))
        return false;
    while (length) {
        size_t plain = ascii_length(from, length);
        from += plain;
        length -= plain;
        if (length == 0)
            break;
        uint32_t code = *from;
        size_t step = code < 0x80 ? 1 : utf8_next(from, length, &code);
        if (step == 0)
            return false;
        from += step;
        length -= step;
    }
    return true;
}

bool qg_text_starts(const char *text, const char *prefix) {
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

bool qg_text_ends(const char *text, const char *suffix) {
    size_t length = strlen(text), tail = strlen(suffix);
    return length >= tail && memcmp(text + length - tail, suffix, tail) == 0;
}

bool qg_text_to_int(const char *text, int64_t *out) {
    bool negative = *text == '-';
    text += negative;
    if (*text == '\0')
        return false;
    int64_t value = 0;
    for (; *text; text++) {
        if (*text < '0' || *text > '9')
            return false;
        int digit = negative ? -(*text - '0') : *text - '0';
        if (__builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, digit, &value))
            return false;
    }
    *out = value;
    return true;
}

bool qg_text_to_hex(const char *text, uint64_t *out) {
    if (text[0] == '0' && (text[1] == 'x' || text[1] == 'X'))
        text += 2;
    size_t length = strlen(text);
    if (length == 0 || length > 16)
        return false;
    uint64_t value = 0;
    for (; *text; text++) {
        unsigned digit;
        if (*text >= '0' && *text <= '9')
            digit = (unsigned)(*text - '0');
        else if (*text >= 'a' && *text <= 'f')
            digit = (unsigned)(*text - 'a' + 10);
        else if (*text >= 'A' && *text <= 'F')
            digit = (unsigned)(*text - 'A' + 10);
        else
            return false;
        value = value << 4 | digit;
    }
    *out = value;
    return true;
}

enum { NEAREST_MAX = 48 }; /* longer words are nobody's typing error for a key */

static char fold(char c) {
    if (c >= 'A' && c <= 'Z')
        return (char)(c - 'A' + 'a');
    return c == '_' ? '-' : c;
}

static size_t least(size_t a, size_t b) {
    return a < b ? a : b;
}

/* Levenshtein distance over one row. */
static size_t distance(const char *a, const char *b) {
    size_t row[NEAREST_MAX + 1];
    size_t columns = strlen(b);
    for (size_t j = 0; j <= columns; j++)
        row[j] = j;
    for (size_t i = 0; a[i]; i++) {
        size_t diagonal = row[0];
        row[0] = i + 1;
        for (size_t j = 0; j < columns; j++) {
            size_t above = row[j + 1];
            size_t replaced = diagonal + (fold(a[i]) != fold(b[j]));
            row[j + 1] = least(replaced, least(above, row[j]) + 1);
            diagonal = above;
        }
    }
    return row[columns];
}

const char *qg_text_nearest(const char *word, const char *const *candidates) {
    size_t length = strlen(word);
    if (length == 0 || length > NEAREST_MAX)
        return NULL;
    const char *best = NULL;
    size_t best_distance = length < 4 ? 2 : length / 3 + 1;
    for (; *candidates; candidates++) {
        if (strlen(*candidates) > NEAREST_MAX)
            continue;
        size_t found = distance(word, *candidates);
        if (found < best_distance) {
            best_distance = found;
            best = *candidates;
        }
    }
    return best;
}

char *qg_text_format(const char *format, ...) {
    va_list args;
    va_start(args, format);
    char *out = NULL;
    int length = vasprintf(&out, format, args);
    va_end(args);
    return length < 0 ? NULL : out;
}
