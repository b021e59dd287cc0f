/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Kernel command lines and the editing of /etc/default/grub. */
#include "doc/kernel_cmdline.h"

#include "base/buf.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#define HIDE "rd.qubes.hide_pci"

Suite *qg_suite_kernel_cmdline(void);

static void check_get(const char *text, const char *wanted) {
    struct qg_err err = {0};
    bool found = false;
    QG_AUTO_STR char *value = qg_grub_get(text, strlen(text), QG_GRUB_CMDLINE, &found, &err);
    ck_assert_msg(value != NULL, "%s", err.text);
    ck_assert_str_eq(value, wanted);
    ck_assert(found);
}

/* What the file says is the shell's own reading of it. */
START_TEST(reads_as_the_shell_does) {
    check_get("GRUB_CMDLINE_LINUX=\"rhgb quiet\"\n", "rhgb quiet");
    check_get("GRUB_CMDLINE_LINUX='rhgb $x'", "rhgb $x");
    check_get("GRUB_CMDLINE_LINUX=quiet", "quiet");
    check_get("GRUB_CMDLINE_LINUX=\n", "");
    check_get("GRUB_CMDLINE_LINUX=\"a\"' b'\\ c # d\n", "a b c");
    check_get("GRUB_CMDLINE_LINUX=\"a \\\nb\"\n", "a b");
    check_get("GRUB_CMDLINE_LINUX=\"dyndbg=\\\"file a +p\\\" \\x\"\n", "dyndbg=\"file a +p\" \\x");
    check_get("# GRUB_CMDLINE_LINUX=\"old\" isn't\nexport GRUB_CMDLINE_LINUX=\"a\"\r\n", "a");
    check_get("GRUB_CMDLINE_LINUX=a\nGRUB_CMDLINE_LINUX=\"$GRUB_CMDLINE_LINUX b\"\n"
              "GRUB_CMDLINE_LINUX=\"${GRUB_CMDLINE_LINUX} c\"\nGRUB_CMDLINE_LINUX+=\" d\"\n",
              "a b c d");
    check_get("GRUB_CMDLINE_LINUX=a\nGRUB_CMDLINE_LINUX=b", "b");
    check_get("OTHER=\"\nGRUB_CMDLINE_LINUX=no\n\"\nGRUB_CMDLINE_LINUX=yes", "yes");
    check_get("MY_GRUB_CMDLINE_LINUX=1 GRUB_CMDLINE_LINUX_DEFAULT=2 GRUB_CMDLINE_LINUX=3", "3");
    check_get("GRUB_CMDLINE_LINUX=\"$(cat \"/x y\") q\"", "$(cat \"/x y\") q");
    check_get("GRUB_CMDLINE_LINUX=\"$OTHER ${X:-\\}} `id` 5$\"", "$OTHER ${X:-\\}} `id` 5$");
}
END_TEST

START_TEST(says_what_cannot_be_read) {
    struct qg_err err = {0};
    bool found = true;
    QG_AUTO_STR char *none = qg_grub_get("A=1\n", 4, QG_GRUB_CMDLINE, &found, &err);
    ck_assert_str_eq(none, "");
    ck_assert(!found);
    const char *open = "A=1\nGRUB_CMDLINE_LINUX=\"rhgb\nB=2\n";
    ck_assert_ptr_null(qg_grub_get(open, strlen(open), QG_GRUB_CMDLINE, NULL, &err));
    ck_assert_int_eq(err.kind, QG_ERR_PARSE);
    ck_assert_int_eq(err.line, 2);
    static const char *const broken[] = {"A='", "A=$(b", "A=${", "A=`", "A=b\\", "A=\"$("};
    for (size_t i = 0; i < QG_ARRAY_LEN(broken); i++) {
        qg_err_clear(&err);
        ck_assert_ptr_null(qg_grub_get(broken[i], strlen(broken[i]), "A", NULL, &err));
        ck_assert_int_eq(err.kind, QG_ERR_PARSE);
    }
    qg_err_clear(&err);
    ck_assert_ptr_null(qg_grub_get("A=b\0c", 5, "A", NULL, &err));
    ck_assert_int_eq(err.kind, QG_ERR_INVALID);
}
END_TEST

/* A value that doubles itself ends in an error, not in all of the memory. */
START_TEST(caps_a_value_that_grows) {
    QG_AUTO(buf) struct qg_buf text = {0};
    struct qg_err err = {0};
    qg_buf_puts(&text, "A=xxxxxxxx\n", &err);
    for (int i = 0; i < 64; i++)
        qg_buf_puts(&text, "A=$A$A\n", &err);
    ck_assert_ptr_null(qg_grub_get(text.data, text.length, "A", NULL, &err));
    ck_assert_int_eq(err.kind, QG_ERR_TOO_LARGE);
}
END_TEST

/* Adds an item and takes it away again; the second time of each changes nothing. */
static void check_item(const char *text, const char *item, const char *wanted, const char *back) {
    struct qg_err err = {0};
    QG_AUTO_STR char *added =
        qg_grub_add_item(text, strlen(text), QG_GRUB_CMDLINE, HIDE, item, QG_CMDLINE_LAST, &err);
    ck_assert_msg(added != NULL, "%s", err.text);
    ck_assert_str_eq(added, wanted);
    QG_AUTO_STR char *again =
        qg_grub_add_item(added, strlen(added), QG_GRUB_CMDLINE, HIDE, item, QG_CMDLINE_LAST, &err);
    ck_assert_str_eq(again, added);
    QG_AUTO_STR char *gone =
        qg_grub_remove_item(added, strlen(added), QG_GRUB_CMDLINE, HIDE, item, &err);
    ck_assert_str_eq(gone, back);
    QG_AUTO_STR char *twice =
        qg_grub_remove_item(gone, strlen(gone), QG_GRUB_CMDLINE, HIDE, item, &err);
    ck_assert_str_eq(twice, gone);
}

START_TEST(adds_and_removes_items) {
    const char *plain = "# it's\nGRUB_TIMEOUT=5\nGRUB_CMDLINE_LINUX=\"rhgb quiet\"\nX=\"y\"\n";
    check_item(plain, "01:00.0",
               "# it's\nGRUB_TIMEOUT=5\n"
               "GRUB_CMDLINE_LINUX=\"rhgb quiet rd.qubes.hide_pci=01:00.0\"\nX=\"y\"\n",
               plain);
    const char *some = "GRUB_CMDLINE_LINUX=\"a " HIDE "=03:00.0 b\"  # c\r\n";
    check_item(some, "01:00.0", "GRUB_CMDLINE_LINUX=\"a " HIDE "=03:00.0,01:00.0 b\"  # c\r\n",
               some);
    check_item("GRUB_CMDLINE_LINUX=\"" HIDE "=\"", "1", "GRUB_CMDLINE_LINUX=\"" HIDE "=1\"",
               "GRUB_CMDLINE_LINUX=\"\"");
    const char *follows =
        "GRUB_CMDLINE_LINUX=\"a\"\nGRUB_CMDLINE_LINUX=\"$GRUB_CMDLINE_LINUX b\"\n";
    check_item(follows, "1",
               "GRUB_CMDLINE_LINUX=\"a\"\nGRUB_CMDLINE_LINUX=\"$GRUB_CMDLINE_LINUX b " HIDE
               "=1\"\n",
               follows);
    check_item("GRUB_CMDLINE_LINUX=\"" HIDE "=2 a\"\nGRUB_CMDLINE_LINUX+=\" b\"", "1",
               "GRUB_CMDLINE_LINUX=\"" HIDE "=2,1 a\"\nGRUB_CMDLINE_LINUX+=\" b\"",
               "GRUB_CMDLINE_LINUX=\"" HIDE "=2 a\"\nGRUB_CMDLINE_LINUX+=\" b\"");
    check_item("GRUB_CMDLINE_LINUX=quiet", "1", "GRUB_CMDLINE_LINUX=\"quiet " HIDE "=1\"",
               "GRUB_CMDLINE_LINUX=\"quiet\"");
    check_item("GRUB_CMDLINE_LINUX='a'", "1", "GRUB_CMDLINE_LINUX='a " HIDE "=1'",
               "GRUB_CMDLINE_LINUX='a'");
    check_item("GRUB_CMDLINE_LINUX=a\\ b", "1", "GRUB_CMDLINE_LINUX=a\\ b\" " HIDE "=1\"",
               "GRUB_CMDLINE_LINUX=a\\ b\"\"");
    check_item("GRUB_CMDLINE_LINUX+=\"\"", "1", "GRUB_CMDLINE_LINUX+=\" " HIDE "=1\"",
               "GRUB_CMDLINE_LINUX+=\"\"");
}
END_TEST

START_TEST(adds_a_missing_variable) {
    check_item("", "1", "GRUB_CMDLINE_LINUX=\"" HIDE "=1\"\n", "GRUB_CMDLINE_LINUX=\"\"\n");
    check_item("A=1", "1", "A=1\nGRUB_CMDLINE_LINUX=\"" HIDE "=1\"\n",
               "A=1\nGRUB_CMDLINE_LINUX=\"\"\n");
    check_item("A=1\r\nB=2\r\n", "1", "A=1\r\nB=2\r\nGRUB_CMDLINE_LINUX=\"" HIDE "=1\"\r\n",
               "A=1\r\nB=2\r\nGRUB_CMDLINE_LINUX=\"\"\r\n");
}
END_TEST

/* dracut reads the last rd.qubes.hide_pci only: an item of an earlier one is not in effect. */
START_TEST(knows_which_word_counts) {
    check_item("GRUB_CMDLINE_LINUX=\"" HIDE "=1 x " HIDE "=2\"", "1",
               "GRUB_CMDLINE_LINUX=\"" HIDE "=1 x " HIDE "=2,1\"",
               "GRUB_CMDLINE_LINUX=\"x " HIDE "=2\"");
    check_item("GRUB_CMDLINE_LINUX=\"" HIDE "=1\"\nGRUB_CMDLINE_LINUX=\"b\"\n", "1",
               "GRUB_CMDLINE_LINUX=\"" HIDE "=1\"\nGRUB_CMDLINE_LINUX=\"b " HIDE "=1\"\n",
               "GRUB_CMDLINE_LINUX=\"" HIDE "=1\"\nGRUB_CMDLINE_LINUX=\"b\"\n");
    const char *all = "GRUB_CMDLINE_LINUX=\"k=nouveau k=b\"";
    struct qg_err err = {0};
    QG_AUTO_STR char *same =
        qg_grub_add_item(all, strlen(all), QG_GRUB_CMDLINE, "k", "nouveau", QG_CMDLINE_ALL, &err);
    ck_assert_str_eq(same, all);
}
END_TEST

START_TEST(removes_items_at_every_place) {
    static const char *const cases[][2] = {
        {"A=\"k=x\"", "A=\"\""},
        {"A=\"k=x b\"", "A=\"b\""},
        {"A=\"a k=x\"", "A=\"a\""},
        {"A=\"a  k=x,x  b\"", "A=\"a  b\""},
        {"A=\"k=x,b,c\"", "A=\"k=b,c\""},
        {"A=\"k=b,x,c\"", "A=\"k=b,c\""},
        {"A=\"k=b,c,x\"", "A=\"k=b,c\""},
        {"A=\"k=x,x,b,x\"", "A=\"k=b\""},
        {"A=\"k=x,,b\"", "A=\"k=b\""},
        {"A=\"k=xx,yx kk=x k\"", "A=\"k=xx,yx kk=x k\""},
        {"A=\"$B k=x\"", "A=\"$B\""},
        {"A=\"k=$x\"", "A=\"k=$x\""},
        {"A=a\\ k=x", "A=a"},
        {"A=\"q=\\\"1 k=x\\\" k=x\"", "A=\"q=\\\"1 k=x\\\"\""},
    };
    for (size_t i = 0; i < QG_ARRAY_LEN(cases); i++) {
        struct qg_err err = {0};
        QG_AUTO_STR char *out =
            qg_grub_remove_item(cases[i][0], strlen(cases[i][0]), "A", "k", "x", &err);
        ck_assert_msg(out != NULL, "%s", err.text);
        ck_assert_str_eq(out, cases[i][1]);
    }
}
END_TEST

START_TEST(adds_and_removes_words) {
    struct qg_err err = {0};
    const char *text = "A=\"nomodeset-not x\"\n";
    QG_AUTO_STR char *added = qg_grub_add_word(text, strlen(text), "A", "nomodeset", &err);
    ck_assert_str_eq(added, "A=\"nomodeset-not x nomodeset\"\n");
    QG_AUTO_STR char *same = qg_grub_add_word(added, strlen(added), "A", "nomodeset", &err);
    ck_assert_str_eq(same, added);
    QG_AUTO_STR char *gone = qg_grub_remove_word(added, strlen(added), "A", "nomodeset", &err);
    ck_assert_str_eq(gone, text);
}
END_TEST

/* What goes into a shell script may not end its quotes or start a program. */
START_TEST(refuses_what_is_no_argument) {
    static const char *const bad[] = {"",    "a b",  "a\"",      "a'", "$(id)", "`id`",
                                      "a\\", "a\nb", "\xc3\xa4", ";x", "a,b",   "*"};
    for (size_t i = 0; i < QG_ARRAY_LEN(bad); i++) {
        struct qg_err err = {0};
        ck_assert_ptr_null(qg_grub_add_item("A=1", 3, "A", "k", bad[i], QG_CMDLINE_ALL, &err));
        ck_assert_int_eq(err.kind, QG_ERR_INVALID);
    }
    struct qg_err err = {0};
    ck_assert_ptr_null(qg_grub_add_item("A=1", 3, "A", "k=", "x", QG_CMDLINE_ALL, &err));
    ck_assert_ptr_null(qg_grub_add_word("A=1", 3, "A", "a b", &err));
}
END_TEST

/* The kernel waits for the quote to be closed: what comes behind it is no word. */
START_TEST(refuses_to_add_where_nothing_counts) {
    static const char text[] = "A='a \"b'\n";
    struct qg_err err = {0};
    ck_assert_ptr_null(qg_grub_add_word(text, strlen(text), "A", "w", &err));
    ck_assert_int_eq(err.kind, QG_ERR_INVALID);
    qg_err_clear(&err);
    ck_assert_ptr_null(qg_grub_add_item(text, strlen(text), "A", "k", "i", QG_CMDLINE_ALL, &err));
    ck_assert_int_eq(err.kind, QG_ERR_INVALID);
}
END_TEST

/* A backslash that loses the blank behind it would guard the closing quote. */
START_TEST(refuses_to_remove_what_keeps_a_quote_closed) {
    static const char text[] = "A=\"\\ w\"\n", joined[] = "A=\"\\ w\" b\n#\"\n",
                      opened[] = "A='\"'\nA=\"$A \\\" w\"\n";
    struct qg_err err = {0};
    ck_assert_ptr_null(qg_grub_remove_word(text, strlen(text), "A", "w", &err));
    ck_assert_int_eq(err.kind, QG_ERR_INVALID);
    qg_err_clear(&err);
    ck_assert_ptr_null(qg_grub_remove_word(joined, strlen(joined), "A", "w", &err));
    ck_assert_int_eq(err.kind, QG_ERR_INVALID);
    qg_err_clear(&err);
    ck_assert_ptr_null(qg_grub_remove_word(opened, strlen(opened), "A", "w", &err));
    ck_assert_int_eq(err.kind, QG_ERR_INVALID);
    QG_AUTO_STR char *same = qg_grub_remove_word(text, strlen(text), "A", "v", &err);
    ck_assert_str_eq(same, text);
}
END_TEST

START_TEST(reads_the_booted_line) {
    const char *line = "placeholder root=/dev/x " HIDE "=9 ro dyndbg=\"a " HIDE "=8\" " HIDE
                       "=01:00.0,,01:00.1 quiet\n";
    struct qg_err err = {0};
    QG_AUTO(json) json_t *last = qg_cmdline_items(line, HIDE, QG_CMDLINE_LAST, &err);
    ck_assert_uint_eq(json_array_size(last), 2);
    ck_assert_str_eq(json_string_value(json_array_get(last, 1)), "01:00.1");
    QG_AUTO(json) json_t *all = qg_cmdline_items(line, HIDE, QG_CMDLINE_ALL, &err);
    ck_assert_uint_eq(json_array_size(all), 3);
    ck_assert(qg_cmdline_has_item(line, HIDE, "9", QG_CMDLINE_ALL));
    ck_assert(!qg_cmdline_has_item(line, HIDE, "9", QG_CMDLINE_LAST));
    ck_assert(qg_cmdline_has_word(line, "quiet") && !qg_cmdline_has_word(line, "quie"));
    ck_assert(!qg_cmdline_has_word("", "") && !qg_cmdline_has_item("k", "k", "x", QG_CMDLINE_ALL));
}
END_TEST

Suite *qg_suite_kernel_cmdline(void) {
    Suite *suite = suite_create("kernel_cmdline");
    TCase *tcase = tcase_create("text");
    tcase_add_test(tcase, reads_as_the_shell_does);
    tcase_add_test(tcase, says_what_cannot_be_read);
    tcase_add_test(tcase, caps_a_value_that_grows);
    tcase_add_test(tcase, adds_and_removes_items);
    tcase_add_test(tcase, adds_a_missing_variable);
    tcase_add_test(tcase, knows_which_word_counts);
    tcase_add_test(tcase, removes_items_at_every_place);
    tcase_add_test(tcase, adds_and_removes_words);
    tcase_add_test(tcase, refuses_what_is_no_argument);
    tcase_add_test(tcase, refuses_to_add_where_nothing_counts);
    tcase_add_test(tcase, refuses_to_remove_what_keeps_a_quote_closed);
    tcase_add_test(tcase, reads_the_booted_line);
    suite_add_tcase(suite, tcase);
    return suite;
}
