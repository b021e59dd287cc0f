/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Firewall rules: how they are read, printed and compared. */
#include "wire/firewall.h"

#include "chaos.h"

#include <check.h>
#include <string.h>

Suite *qg_suite_wire_firewall(void);

static const struct {
    const char *text, *printed;
} fine[] = {
    {"action=accept", "action=accept"},
    {"  proto=tcp   action=drop ", "action=drop proto=tcp"},
    {"action=accept comment=hi there  proto=tcp", "action=accept comment=hi there  proto=tcp"},
    {"dstports=443 proto=tcp action=accept specialtarget=dns",
     "action=accept proto=tcp dstports=443-443 specialtarget=dns"},
    {"action=accept proto=udp dstports=1-65535", "action=accept proto=udp dstports=1-65535"},
    {"action=accept dsthost=10.0.0.1", "action=accept dst4=10.0.0.1/32"},
    {"action=accept dst4=10.0.0.0/8", "action=accept dst4=10.0.0.0/8"},
    {"action=accept dsthost=FD00:0::1", "action=accept dst6=fd00::1/128"},
    {"action=accept dst6=fd00::/8", "action=accept dst6=fd00::/8"},
    {"action=accept dsthost=Qubes-OS.org", "action=accept dsthost=qubes-os.org"},
    {"action=drop proto=icmp icmptype=08", "action=drop proto=icmp icmptype=8"},
    {"action=accept comment=", "action=accept comment="},
};

START_TEST(rules_are_printed_in_one_order) {
    struct qg_err err = {0};
    QG_AUTO_STR char *printed = qg_firewall_rule(fine[_i].text, NULL, &err);
    ck_assert_msg(printed != NULL, "%s", err.text);
    ck_assert_str_eq(printed, fine[_i].printed);
    QG_AUTO_STR char *again = qg_firewall_rule(printed, NULL, &err);
    ck_assert_str_eq(again, printed);
}
END_TEST

static const struct {
    const char *text, *reason;
} bad[] = {
    {"", "no action"},
    {"proto=tcp", "no action"},
    {"action=maybe", "action: 'maybe' is not accept or drop"},
    {"action=", "is not accept or drop"},
    {"accept", "'accept' is no option=value"},
    {"action =accept", "'action' is no option=value"},
    {"action=accept port=1", "port is no option"},
    {"action=accept dstport=1", "did you mean dstports?"},
    {"action=accept action=drop", "action is there twice"},
    {"action=accept dstports=443", "dstports needs proto=tcp or proto=udp"},
    {"action=accept proto=icmp dstports=443", "dstports needs"},
    {"action=accept proto=tcp dstports=99999", "a port or a range"},
    {"action=accept proto=tcp dstports=9-8", "a port or a range"},
    {"action=accept proto=tcp dstports=-8", "a port or a range"},
    {"action=accept proto=tcp dstports=8-", "a port or a range"},
    {"action=accept icmptype=8", "icmptype needs proto=icmp"},
    {"action=accept proto=icmp icmptype=256", "a number from 0 to 255"},
    {"action=accept dst4=10.0.0.1/33", "an IPv4 address"},
    {"action=accept dst4=fd00::1", "an IPv4 address"},
    {"action=accept dst4=10.0.0.1/", "an IPv4 address"},
    {"action=accept dst6=10.0.0.1", "an IPv6 address"},
    {"action=accept dst6=fd00::1/129", "an IPv6 address"},
    {"action=accept dsthost=a/b", "a host name"},
    {"action=accept dsthost=", "a host name"},
    {"action=accept dst4=10.0.0.1 dsthost=a.b", "more than one destination"},
    {"action=accept specialtarget=x", "is not dns"},
    {"action=accept expire=+300", "a time in seconds"},
    {"action=accept comment=\xc3\xa4", "printable ASCII"},
};

START_TEST(bad_rules_say_what_would_be_right) {
    struct qg_err err = {0};
    QG_AUTO_STR char *printed = qg_firewall_rule(bad[_i].text, NULL, &err);
    ck_assert_ptr_null(printed);
    ck_assert_int_eq(err.kind, QG_ERR_INVALID);
    ck_assert_msg(strstr(err.text, bad[_i].reason) != NULL, "%s: %s", bad[_i].text, err.text);
    ck_assert_msg(strncmp(err.text, "firewall rule '", 15) == 0, "%s", err.text);
}
END_TEST

START_TEST(the_end_of_a_rule_is_told) {
    struct qg_err err = {0};
    int64_t expires = -1;
    QG_AUTO_STR char *none = qg_firewall_rule("action=accept", &expires, &err);
    ck_assert_ptr_nonnull(none);
    ck_assert_int_eq(expires, 0);
    QG_AUTO_STR char *some = qg_firewall_rule("expire=1700000000 action=accept", &expires, &err);
    ck_assert_str_eq(some, "action=accept expire=1700000000");
    ck_assert_int_eq(expires, 1700000000);
}
END_TEST

START_TEST(what_a_newer_qubesd_prints_stays) {
    struct qg_err err = {0};
    QG_AUTO(json)
    json_t *rules = json_pack("[s,s]", "action=forward srcports=1-2", "dst4=1.2.3.4 action=drop");
    QG_AUTO(json) json_t *out = qg_firewall_rules(rules, &err);
    QG_AUTO_STR char *text = qg_value_dump(out, &err);
    ck_assert_str_eq(text, "[\"action=forward srcports=1-2\",\"action=drop dst4=1.2.3.4/32\"]");
    ck_assert_int_eq(err.kind, QG_ERR_NONE);
}
END_TEST

static int read_one(void *data, struct qg_err *err) {
    (void)data;
    QG_AUTO_STR char *rule = qg_firewall_rule(
        "action=accept proto=tcp dstports=1 dsthost=a.b expire=9 comment=x", NULL, err);
    return rule ? 0 : -1;
}

START_TEST(memory_may_run_out) {
    qg_chaos_each(read_one, NULL, false);
}
END_TEST

Suite *qg_suite_wire_firewall(void) {
    Suite *suite = suite_create("wire firewall");
    TCase *tests = tcase_create("rules");
    tcase_add_loop_test(tests, rules_are_printed_in_one_order, 0, QG_ARRAY_LEN(fine));
    tcase_add_loop_test(tests, bad_rules_say_what_would_be_right, 0, QG_ARRAY_LEN(bad));
    tcase_add_test(tests, the_end_of_a_rule_is_told);
    tcase_add_test(tests, what_a_newer_qubesd_prints_stays);
    tcase_add_test(tests, memory_may_run_out);
    suite_add_tcase(suite, tests);
    return suite;
}
