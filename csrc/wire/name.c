/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "wire/name.h"

#include "base/text.h"

#include <string.h>

static bool is_letter(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

int qg_name_check_qube(const char *name, struct qg_err *err) {
    size_t length = strlen(name);
    if (length == 0)
        return qg_err_set(err, QG_ERR_INVALID, "name: empty, a qube's name is expected");
    if (length > QG_QUBE_NAME_MAX)
        return qg_err_set(err, QG_ERR_INVALID, "name: '%.40s...' has more than %d characters", name,
                          QG_QUBE_NAME_MAX);
    if (!is_letter(name[0]))
        return qg_err_set(err, QG_ERR_INVALID, "name: '%s' must start with a letter", name);
    for (const char *at = name; *at; at++)
        if (!is_letter(*at) && !is_digit(*at) && !strchr("_-.", *at))
            return qg_err_set(err, QG_ERR_INVALID,
                              "name: '%s' may hold letters, digits, '-', '_' and '.' only", name);
    if (strcmp(name, "none") == 0 || strcmp(name, "default") == 0 || strcmp(name, "Domain-0") == 0)
        return qg_err_set(err, QG_ERR_INVALID, "name: '%s' is a word that qubesd keeps for itself",
                          name);
    return 0;
}

int qg_name_check_destination(const char *name, struct qg_err *err) {
    if (!qg_text_starts(name, "uuid:"))
        return qg_name_check_qube(name, err);
    const char *digits = name + strlen("uuid:");
    if (strlen(digits) != 36 || strspn(digits, "0123456789abcdef-") != 36)
        return qg_err_set(err, QG_ERR_INVALID, "name: '%.60s' is not a uuid", name);
    return 0;
}

int qg_name_check_argument(const char *what, const char *argument, struct qg_err *err) {
    for (const char *at = argument ? argument : ""; *at; at++)
        if (!is_letter(*at) && !is_digit(*at) && !strchr("_.+-", *at))
            return qg_err_set(err, QG_ERR_INVALID,
                              "%s: '%.100s' may hold letters, digits, '-', '_', '+' and '.' only",
                              what, argument);
    return 0;
}
