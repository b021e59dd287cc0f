/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "gpu/size.h"

#include "base/text.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

enum { DIGITS_MAX = 19 };

/* The factor of a unit, 0 for what is none. */
static int64_t factor_of(const char *unit) {
    static const char letters[] = "KMGT";
    const char *letter = *unit ? strchr(letters, toupper((unsigned char)*unit)) : NULL;
    if (!*unit)
        return 1;
    if (!letter)
        return 0;
    bool binary = strcasecmp(unit + 1, "i") == 0 || strcasecmp(unit + 1, "ib") == 0;
    if (!binary && unit[1] && strcasecmp(unit + 1, "b") != 0)
        return 0;
    int64_t factor = 1;
    for (const char *at = letters; at <= letter; at++)
        factor *= binary ? 1024 : 1000;
    return factor;
}

static bool parse_text(const char *text, int64_t *out) {
    size_t length = strspn(text, "0123456789");
    char digits[DIGITS_MAX + 1];
    int64_t number;
    if (length == 0 || length > DIGITS_MAX)
        return false;
    memcpy(digits, text, length);
    digits[length] = '\0';
    const char *unit = text + length + strspn(text + length, " ");
    return qg_text_to_int(digits, &number) && factor_of(unit) &&
           !__builtin_mul_overflow(number, factor_of(unit), out);
}

int qg_size_parse(const char *key, const json_t *value, int64_t *out, struct qg_err *err) {
    const char *text = json_string_value(value);
    if (json_is_integer(value) && json_integer_value(value) >= 0) {
        *out = json_integer_value(value);
        return 0;
    }
    if (text && parse_text(text, out))
        return 0;
    QG_AUTO_STR char *shown = qg_value_dump(value, err);
    return shown ? qg_err_set(err, QG_ERR_INVALID,
                              "%s: a number of bytes is expected, or a text such as 20GiB, not "
                              "%.60s",
                              key, shown)
                 : -1;
}
