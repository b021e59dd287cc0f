/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "doc/json.h"

#include "base/text.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct reader {
    const char *start, *at, *end;
};

static json_t *read_value(struct reader *in, int depth, struct qg_err *err);

/* Fails at the place that was reached; always -1. */
static int fail_here(const struct reader *in, const char *problem, struct qg_err *err) {
    int line = 1, column = 1;
    for (const char *at = in->start; at < in->at; at++) {
        column = *at == '\n' ? 1 : column + 1;
        line += *at == '\n';
    }
    qg_err_set(err, QG_ERR_PARSE, "JSON, line %d, column %d: %s", line, column, problem);
    if (err && err->kind == QG_ERR_PARSE) {
        err->line = line;
        err->column = column;
    }
    return -1;
}

static json_t *refuse(const struct reader *in, const char *problem, struct qg_err *err) {
    fail_here(in, problem, err);
    return NULL;
}

static void skip_space(struct reader *in) {
    static const char space[] = " \t\n\r";
    while (in->at < in->end && memchr(space, *in->at, sizeof(space) - 1))
        in->at++;
}

/* Whether the next character is this one, which is read then. */
static bool take(struct reader *in, char wanted) {
    skip_space(in);
    bool there = in->at < in->end && *in->at == wanted;
    in->at += there;
    return there;
}

static bool take_word(struct reader *in, const char *word) {
    size_t length = strlen(word);
    bool there = (size_t)(in->end - in->at) >= length && memcmp(in->at, word, length) == 0;
    in->at += there ? length : 0;
    return there;
}

/* ---- texts ---- */

/* The four digits of \uXXXX. */
static int take_unit(struct reader *in, uint32_t *unit, struct qg_err *err) {
    static const char hex[] = "0123456789abcdefABCDEF";
    char digits[5] = "";
    uint64_t value;
    for (int i = 0; i < 4 && in->at < in->end && memchr(hex, *in->at, sizeof(hex) - 1); i++)
        digits[i] = *in->at++;
    if (!digits[3] || !qg_text_to_hex(digits, &value))
        return fail_here(in, "\\u wants four hexadecimal digits", err);
    *unit = (uint32_t)value;
    return 0;
}

/* One character outside of the basic plane is two units. */
static int take_character(struct reader *in, uint32_t *code, struct qg_err *err) {
    uint32_t second = 0;
    if (take_unit(in, code, err) < 0)
        return -1;
    if (*code < 0xd800 || *code > 0xdfff)
        return 0;
    if (*code > 0xdbff || !take_word(in, "\\u"))
        return fail_here(in, "half a pair of \\u", err);
    if (take_unit(in, &second, err) < 0)
        return -1;
    if (second < 0xdc00 || second > 0xdfff)
        return fail_here(in, "half a pair of \\u", err);
    *code = 0x10000 + ((*code - 0xd800) << 10) + (second - 0xdc00);
    return 0;
}

static char *put_utf8(char *out, uint32_t code) {
    static const unsigned char marks[] = {0x00, 0xc0, 0xe0, 0xf0};
    int more = code < 0x80 ? 0 : code < 0x800 ? 1 : code < 0x10000 ? 2 : 3;
    *out++ = (char)(marks[more] | code >> 6 * more);
    while (more-- > 0)
        *out++ = (char)(0x80 | (code >> 6 * more & 0x3f));
    return out;
}

static int take_escape(struct reader *in, char **out, struct qg_err *err) {
    static const char names[] = "\"\\/bfnrt", meant[] = "\"\\/\b\f\n\r\t";
    uint32_t code = 0;
    const char *name = in->at < in->end ? memchr(names, *in->at, sizeof(names) - 1) : NULL;
    if (name) {
        in->at++;
        *(*out)++ = meant[name - names];
        return 0;
    }
    if (!take_word(in, "u"))
        return fail_here(in, "no such escape", err);
    if (take_character(in, &code, err) < 0)
        return -1;
    *out = put_utf8(*out, code);
    return 0;
}

/* The text whose opening quote was read, NUL-terminated. What an escape means is never longer than
 * the escape. */
static char *read_text(struct reader *in, struct qg_err *err) {
    const char *close = in->at;
    while (close < in->end && *close != '"')
        close += *close == '\\' && in->end - close > 1 ? 2 : 1;
    QG_AUTO_STR char *text = malloc((size_t)(close - in->at) + 1);
    if (!text) {
        qg_err_oom(err);
        return NULL;
    }
    char *out = text;
    while (in->at < in->end && *in->at != '"') {
        if ((unsigned char)*in->at < ' ') {
            fail_here(in, "a control character in a text", err);
            return NULL;
        }
        if (*in->at != '\\') {
            *out++ = *in->at++;
            continue;
        }
        in->at++;
        if (take_escape(in, &out, err) < 0)
            return NULL;
    }
    if (in->at == in->end || !qg_text_is_utf8(text, (size_t)(out - text))) {
        fail_here(in, in->at == in->end ? "a text without its end" : "a NUL or no UTF-8", err);
        return NULL;
    }
    in->at++;
    *out = '\0';
    return QG_STEAL(text);
}

/* ---- numbers ---- */

static bool skip_digits(struct reader *in) {
    const char *first = in->at;
    while (in->at < in->end && *in->at >= '0' && *in->at <= '9')
        in->at++;
    return in->at > first;
}

/* The shape of a number; *whole is false where it has a fraction or an exponent. */
static int skip_number(struct reader *in, bool *whole, struct qg_err *err) {
    *whole = true;
    take_word(in, "-");
    if (!take_word(in, "0") && !skip_digits(in))
        return fail_here(in, "a value is expected", err);
    if (take_word(in, ".")) {
        *whole = false;
        if (!skip_digits(in))
            return fail_here(in, "a digit is expected", err);
    }
    if (take_word(in, "e") || take_word(in, "E")) {
        *whole = false;
        if (!take_word(in, "-"))
            take_word(in, "+");
        if (!skip_digits(in))
            return fail_here(in, "a digit is expected", err);
    }
    return 0;
}

static json_t *read_number(struct reader *in, struct qg_err *err) {
    const char *first = in->at;
    bool whole;
    if (skip_number(in, &whole, err) < 0)
        return NULL;
    QG_AUTO_STR char *text = strndup(first, (size_t)(in->at - first));
    int64_t number = 0;
    if (text && whole && !qg_text_to_int(text, &number))
        return refuse(in, "a number of more than 64 bits", err);
    double real = text && !whole ? strtod(text, NULL) : 0;
    if (!isfinite(real))
        return refuse(in, "a number that is too large", err);
    json_t *value = !text ? NULL : whole ? json_integer(number) : json_real(real);
    if (!value)
        qg_err_oom(err);
    return value;
}

/* ---- values ---- */

static json_t *read_array(struct reader *in, int depth, struct qg_err *err) {
    QG_AUTO(json) json_t *out = qg_value_array(err);
    if (!out)
        return NULL;
    if (take(in, ']'))
        return QG_STEAL(out);
    do {
        json_t *item = read_value(in, depth + 1, err);
        if (!item || qg_value_append_take(out, item, err) < 0)
            return NULL;
    } while (take(in, ','));
    return take(in, ']') ? QG_STEAL(out) : refuse(in, ", or ] is expected", err);
}

static int read_pair(struct reader *in, json_t *out, int depth, struct qg_err *err) {
    if (!take(in, '"'))
        return fail_here(in, "a key is expected", err);
    QG_AUTO_STR char *key = read_text(in, err);
    if (!key)
        return -1;
    if (json_object_get(out, key))
        return fail_here(in, "a key twice", err);
    if (!take(in, ':'))
        return fail_here(in, ": is expected", err);
    json_t *value = read_value(in, depth + 1, err);
    return value ? qg_value_set_take(out, key, value, err) : -1;
}

static json_t *read_object(struct reader *in, int depth, struct qg_err *err) {
    QG_AUTO(json) json_t *out = qg_value_object(err);
    if (!out)
        return NULL;
    if (take(in, '}'))
        return QG_STEAL(out);
    do {
        if (read_pair(in, out, depth, err) < 0)
            return NULL;
    } while (take(in, ','));
    return take(in, '}') ? QG_STEAL(out) : refuse(in, ", or } is expected", err);
}

static json_t *read_string(struct reader *in, struct qg_err *err) {
    QG_AUTO_STR char *text = read_text(in, err);
    return text ? qg_value_text(text, err) : NULL;
}

static json_t *read_value(struct reader *in, int depth, struct qg_err *err) {
    if (depth > QG_VALUE_DEPTH_MAX)
        return refuse(in, "nested too deep", err);
    if (take(in, '{'))
        return read_object(in, depth, err);
    if (take(in, '['))
        return read_array(in, depth, err);
    if (take(in, '"'))
        return read_string(in, err);
    if (take_word(in, "null"))
        return json_null();
    if (take_word(in, "true"))
        return json_true();
    return take_word(in, "false") ? json_false() : read_number(in, err);
}

json_t *qg_json_load(const char *text, size_t length, struct qg_err *err) {
    struct reader in = {text, text, text + length};
    QG_AUTO(json) json_t *value = read_value(&in, 0, err);
    if (!value)
        return NULL;
    skip_space(&in);
    return in.at == in.end ? QG_STEAL(value) : refuse(&in, "one value is expected", err);
}
