/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "wire/firewall.h"

#include "base/buf.h"
#include "base/text.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The options in the order in which qubesd prints them; the comment takes the rest of the line. */
enum option {
    ACTION,
    PROTO,
    DST4,
    DST6,
    DSTHOST,
    DSTPORTS,
    ICMPTYPE,
    SPECIALTARGET,
    EXPIRE,
    COMMENT,
    OPTIONS
};

static const char *const names[OPTIONS + 1] = {
    [ACTION] = "action",     [PROTO] = "proto",     [DST4] = "dst4",
    [DST6] = "dst6",         [DSTHOST] = "dsthost", [DSTPORTS] = "dstports",
    [ICMPTYPE] = "icmptype", [EXPIRE] = "expire",   [SPECIALTARGET] = "specialtarget",
    [COMMENT] = "comment",   [OPTIONS] = NULL,
};

enum { PORT_MAX = 65535, ICMP_TYPE_MAX = 255, HOST_MAX = 253, PREFIX4_MAX = 32, PREFIX6_MAX = 128 };

/* A rule while it is read: the canonical text of each option, NULL where it is not given. */
struct rule {
    const char *text; /* as it was written, for errors; borrowed */
    char *values[OPTIONS];
};

static void rule_fini(struct rule *rule) {
    for (size_t i = 0; i < OPTIONS; i++)
        free(rule->values[i]);
}

QG_DEFINE_AUTO_FINI(rule, struct rule, rule_fini)

static int fail(const struct rule *rule, struct qg_err *err, const char *format, ...)
    QG_PRINTF(3, 4);

static int fail(const struct rule *rule, struct qg_err *err, const char *format, ...) {
    char why[320];
    va_list args;
    va_start(args, format);
    vsnprintf(why, sizeof(why), format, args);
    va_end(args);
    return qg_err_set(err, QG_ERR_INVALID, "firewall rule '%.200s': %s", rule->text, why);
}

static int fail_value(const struct rule *rule, enum option option, const char *value,
                      const char *expected, struct qg_err *err) {
    return fail(rule, err, "%s: '%.60s' is not %s", names[option], value, expected);
}

/* A number without sign, the whole text. */
static bool is_number(const char *text, int64_t max, int64_t *out) {
    return isdigit((unsigned char)text[0]) && qg_text_to_int(text, out) && *out <= max;
}

/* `80` or `80-90` as `80-80`, `80-90`. */
static int put_ports(struct rule *rule, char *value, struct qg_err *err) {
    static const char expected[] = "a port or a range of ports (443, 8000-8080; at most 65535)";
    QG_AUTO_STR char *copy = strdup(value);
    if (!copy)
        return qg_err_oom(err);
    char *dash = strchr(copy, '-');
    const char *last = dash ? dash + 1 : copy;
    if (dash)
        *dash = '\0';
    int64_t from, to;
    if (!is_number(copy, PORT_MAX, &from) || !is_number(last, PORT_MAX, &to) || from > to)
        return fail_value(rule, DSTPORTS, value, expected, err);
    rule->values[DSTPORTS] = qg_text_format("%d-%d", (int)from, (int)to);
    return rule->values[DSTPORTS] ? 0 : qg_err_oom(err);
}

/* An address of the family with its prefix length; false where it is none. */
static bool print_address(int family, const char *value, char *out, size_t size) {
    char host[INET6_ADDRSTRLEN + 1], printed[INET6_ADDRSTRLEN];
    unsigned char bytes[16];
    size_t length = strcspn(value, "/");
    int64_t max = family == AF_INET ? PREFIX4_MAX : PREFIX6_MAX, prefix = max;
    if (length >= sizeof(host) || (value[length] && !is_number(value + length + 1, max, &prefix)))
        return false;
    memcpy(host, value, length);
    host[length] = '\0';
    if (inet_pton(family, host, bytes) != 1 || !inet_ntop(family, bytes, printed, sizeof(printed)))
        return false;
    snprintf(out, size, "%s/%d", printed, (int)prefix);
    return true;
}

static bool print_host(const char *value, char *out) {
    size_t length = strlen(value);
    if (length == 0 || length > HOST_MAX)
        return false;
    for (size_t i = 0; i <= length; i++) {
        if (value[i] && !isalnum((unsigned char)value[i]) && !strchr("-._", value[i]))
            return false;
        out[i] = (char)tolower((unsigned char)value[i]);
    }
    return true;
}

/* The three spellings of a destination: qubesd keeps an address under dst4 or dst6, whatever it was
 * called. */
static int put_destination(struct rule *rule, enum option option, const char *value,
                           struct qg_err *err) {
    char out[HOST_MAX + 1];
    enum option kind = DSTHOST;
    if (option != DST6 && print_address(AF_INET, value, out, sizeof(out)))
        kind = DST4;
    else if (option != DST4 && print_address(AF_INET6, value, out, sizeof(out)))
        kind = DST6;
    else if (option != DSTHOST || !print_host(value, out))
        return fail_value(rule, option, value,
                          option == DST4   ? "an IPv4 address (10.0.0.1, 10.0.0.0/8)"
                          : option == DST6 ? "an IPv6 address (fd00::1, fd00::/8)"
                                           : "a host name or an address",
                          err);
    if (rule->values[DST4] || rule->values[DST6] || rule->values[DSTHOST])
        return fail(rule, err, "more than one destination; write a rule for each");
    rule->values[kind] = strdup(out);
    return rule->values[kind] ? 0 : qg_err_oom(err);
}

static int put_number(struct rule *rule, enum option option, const char *value, int64_t max,
                      const char *expected, struct qg_err *err) {
    int64_t number;
    if (!is_number(value, max, &number))
        return fail_value(rule, option, value, expected, err);
    rule->values[option] = qg_text_format("%lld", (long long)number);
    return rule->values[option] ? 0 : qg_err_oom(err);
}

static int put_word(struct rule *rule, enum option option, const char *value,
                    const char *const *words, const char *expected, struct qg_err *err) {
    for (; *words; words++)
        if (strcmp(*words, value) == 0) {
            rule->values[option] = strdup(value);
            return rule->values[option] ? 0 : qg_err_oom(err);
        }
    return fail_value(rule, option, value, expected, err);
}

static int put_comment(struct rule *rule, const char *value, struct qg_err *err) {
    for (const char *at = value; *at; at++)
        if (*at < ' ' || *at > '~')
            return fail_value(rule, COMMENT, value, "printable ASCII", err);
    rule->values[COMMENT] = strdup(value);
    return rule->values[COMMENT] ? 0 : qg_err_oom(err);
}

static int put(struct rule *rule, enum option option, char *value, struct qg_err *err) {
    static const char *const actions[] = {"accept", "drop", "forward", NULL};
    static const char *const protocols[] = {"tcp", "udp", "icmp", NULL};
    static const char *const targets[] = {"dns", NULL};
    if (rule->values[option])
        return fail(rule, err, "%s is there twice", names[option]);
    switch (option) {
    case ACTION:
        return put_word(rule, option, value, actions, "accept or drop", err);
    case PROTO:
        return put_word(rule, option, value, protocols, "tcp, udp or icmp", err);
    case SPECIALTARGET:
        return put_word(rule, option, value, targets, "dns", err);
    case DST4:
    case DST6:
    case DSTHOST:
        return put_destination(rule, option, value, err);
    case DSTPORTS:
        return put_ports(rule, value, err);
    case ICMPTYPE:
        return put_number(rule, option, value, ICMP_TYPE_MAX, "a number from 0 to 255", err);
    case EXPIRE:
        return put_number(rule, option, value, INT64_MAX, "a time in seconds since 1970", err);
    case COMMENT:
        return put_comment(rule, value, err);
    case OPTIONS:
        break;
    }
    return -1;
}

static int fail_option(const struct rule *rule, const char *word, bool has_value,
                       struct qg_err *err) {
    const char *near = qg_text_nearest(word, names);
    if (!has_value)
        return fail(rule, err, "'%.60s' is no option=value", word);
    return fail(rule, err, "%.60s is no option of a rule%s%s%s", word,
                near ? " (did you mean " : "", near ? near : "", near ? "?)" : "");
}

/* Reads `option=value` words, parted by blanks, out of text, which is cut up. */
static int read_options(struct rule *rule, char *text, struct qg_err *err) {
    for (char *at = text + strspn(text, " "); *at; at += strspn(at, " ")) {
        char *word = at;
        at += strcspn(at, " =");
        bool has_value = *at == '=';
        if (*at)
            *at++ = '\0';
        enum option option = ACTION;
        while (option < OPTIONS && strcmp(names[option], word) != 0)
            option++;
        if (option == OPTIONS || !has_value)
            return fail_option(rule, word, has_value, err);
        char *value = at;
        at += option == COMMENT ? strlen(at) : strcspn(at, " ");
        if (*at)
            *at++ = '\0';
        if (put(rule, option, value, err) < 0)
            return -1;
    }
    return 0;
}

static int check_whole(const struct rule *rule, struct qg_err *err) {
    const char *protocol = rule->values[PROTO] ? rule->values[PROTO] : "";
    if (!rule->values[ACTION])
        return fail(rule, err, "no action, action=accept or action=drop is needed");
    if (rule->values[DSTPORTS] && strcmp(protocol, "tcp") != 0 && strcmp(protocol, "udp") != 0)
        return fail(rule, err, "dstports needs proto=tcp or proto=udp");
    if (rule->values[ICMPTYPE] && strcmp(protocol, "icmp") != 0)
        return fail(rule, err, "icmptype needs proto=icmp");
    return 0;
}

char *qg_firewall_rule(const char *text, int64_t *expires, struct qg_err *err) {
    QG_AUTO(rule) struct rule rule = {.text = text};
    QG_AUTO(buf) struct qg_buf out = {0};
    QG_AUTO_STR char *copy = strdup(text);
    if (!copy) {
        qg_err_oom(err);
        return NULL;
    }
    if (read_options(&rule, copy, err) < 0 || check_whole(&rule, err) < 0)
        return NULL;
    for (size_t i = 0; i < OPTIONS; i++)
        if (rule.values[i] && qg_buf_printf(&out, err, "%s%s=%s", out.length ? " " : "", names[i],
                                            rule.values[i]) < 0)
            return NULL;
    int64_t time = 0;
    if (rule.values[EXPIRE])
        qg_text_to_int(rule.values[EXPIRE], &time);
    if (expires)
        *expires = time;
    return qg_buf_steal(&out, err);
}

json_t *qg_firewall_rules(const json_t *rules, struct qg_err *err) {
    QG_AUTO(json) json_t *out = qg_value_array(err);
    size_t i;
    json_t *rule;
    json_array_foreach(qg_value_mutable(rules), i, rule) {
        struct qg_err unknown = {0};
        QG_AUTO_STR char *text = qg_firewall_rule(json_string_value(rule), NULL, &unknown);
        if (!out || qg_err_pass_oom(err, &unknown) < 0)
            return NULL;
        json_t *value = text ? qg_value_text(text, err) : json_incref(rule);
        if (qg_value_append_take(out, value, err) < 0)
            return NULL;
    }
    return QG_STEAL(out);
}
