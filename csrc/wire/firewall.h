/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Firewall rules: one line each, compared by what they mean. */
#ifndef QG_WIRE_FIREWALL_H
#define QG_WIRE_FIREWALL_H

#include "doc/value.h"

#include <stdint.h>

/* A rule in qubesd's order of options, a single port as a range, an address with its prefix length.
 * *expires is the time of its option `expire` in seconds since 1970, 0 where it has none; expires
 * may be NULL. Anything that qubesd would not take is QG_ERR_INVALID naming the rule, the option
 * and what would be right. Owned by the caller; NULL on failure. */
char *qg_firewall_rule(const char *text, int64_t *expires, struct qg_err *err) QG_MUST_CHECK;

/* A list of rules as qubesd prints them, each as qg_firewall_rule has it; one that is newer than we
 * are stays as it is. New list; NULL on failure. */
json_t *qg_firewall_rules(const json_t *rules, struct qg_err *err) QG_MUST_CHECK;

#endif
