/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Errors, buffers, text, deadlines, the log sink. */
#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/text.h"
#include "chaos.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

Suite *qg_suite_base(void);

/* ---- errors ---- */

START_TEST(first_error_wins) {
    struct qg_err err = {0};
    ck_assert_int_eq(qg_err_set(&err, QG_ERR_INVALID, "no %s", "such"), -1);
    ck_assert_int_eq(qg_err_set(&err, QG_ERR_IO, "later"), -1);
    ck_assert_int_eq(qg_err_oom(&err), -1);
    ck_assert_int_eq(qg_err_qubesd(&err, "QubesException", "later"), -1);
    ck_assert_int_eq(err.kind, QG_ERR_INVALID);
    ck_assert_str_eq(err.text, "no such");
    ck_assert_str_eq(err.exc_type, "");
    qg_err_clear(&err);
    ck_assert_int_eq(err.kind, QG_ERR_NONE);
    ck_assert_str_eq(err.text, "");
}
END_TEST

START_TEST(errors_need_no_place) {
    ck_assert_int_eq(qg_err_set(NULL, QG_ERR_IO, "x"), -1);
    ck_assert_int_eq(qg_err_errno(NULL, "x"), -1);
    ck_assert_int_eq(qg_err_oom(NULL), -1);
    ck_assert_int_eq(qg_err_qubesd(NULL, "T", "x"), -1);
    qg_err_at(NULL, "x");
    qg_err_clear(NULL);
}
END_TEST

START_TEST(errors_keep_errno) {
    struct qg_err err = {0};
    errno = ENOENT;
    qg_err_errno(&err, "open %s", "/x");
    ck_assert_int_eq(errno, ENOENT);
    ck_assert_int_eq(err.sys_errno, ENOENT);
    ck_assert_int_eq(err.kind, QG_ERR_IO);
    ck_assert_str_eq(err.text, "open /x: No such file or directory");
}
END_TEST

START_TEST(errors_are_clean_and_bounded) {
    struct qg_err err = {0};
    char long_text[2000];
    memset(long_text, 'a', sizeof(long_text) - 1);
    long_text[sizeof(long_text) - 1] = '\0';
    long_text[0] = '\x1b';
    long_text[1] = '\n';
    qg_err_set(&err, QG_ERR_PROTOCOL, "%s", long_text);
    ck_assert_uint_eq(strlen(err.text), sizeof(err.text) - 1);
    ck_assert(qg_text_starts(err.text, "??aaa") && qg_text_ends(err.text, "a..."));

    qg_err_clear(&err);
    qg_err_qubesd(&err, "Qubes\x07Type", "line\nline");
    qg_err_at(&err, "admin.vm.Start on %s", "work");
    qg_err_at(&err, "a second call");
    ck_assert(!qg_err_is_qubesd(&err, "QubesType") && qg_err_is_qubesd(&err, "Qubes?Type"));
    char sentence[80];
    qg_err_describe(&err, sentence, sizeof(sentence));
    ck_assert_str_eq(sentence, "admin.vm.Start on work: Qubes?Type: line?line");
    qg_err_describe(&err, sentence, 6);
    ck_assert_str_eq(sentence, "admin");
}
END_TEST

START_TEST(places_need_an_error) {
    struct qg_err err = {0};
    qg_err_at(&err, "nowhere");
    ck_assert_str_eq(err.where, "");
}
END_TEST

START_TEST(every_kind_has_a_name) {
    for (int kind = QG_ERR_NONE; kind <= QG_ERR_INTERRUPTED; kind++)
        ck_assert_str_ne(qg_err_kind_name((enum qg_err_kind)kind), "unknown");
    ck_assert_str_eq(qg_err_kind_name((enum qg_err_kind)99), "unknown");
}
END_TEST

/* ---- buffers ---- */

START_TEST(buffers_grow_and_are_stolen) {
    struct qg_err err = {0};
    QG_AUTO(buf) struct qg_buf buf = {0};
    ck_assert_str_eq(qg_buf_text(&buf), "");
    for (int i = 0; i < 1000; i++)
        ck_assert_int_eq(qg_buf_printf(&buf, &err, "%d,", i % 10), 0);
    ck_assert_uint_eq(buf.length, 2000);
    ck_assert_uint_eq(strlen(buf.data), 2000);
    ck_assert_int_eq(qg_buf_add(&buf, "a\0b", 3, &err), 0);
    ck_assert_uint_eq(buf.length, 2003);
    ck_assert_int_eq(memcmp(buf.data + 2000, "a\0b", 4), 0);
    QG_AUTO_STR char *text = qg_buf_steal(&buf, &err);
    ck_assert_ptr_nonnull(text);
    ck_assert_uint_eq(buf.length, 0);
    ck_assert_ptr_null(buf.data);
    QG_AUTO_STR char *empty = qg_buf_steal(&buf, &err);
    ck_assert_str_eq(empty, "");
}
END_TEST

START_TEST(buffers_have_a_cap) {
    struct qg_err err = {0};
    QG_AUTO(buf) struct qg_buf buf = {.cap = 10};
    ck_assert_int_eq(qg_buf_puts(&buf, "0123456789", &err), 0);
    ck_assert_int_eq(qg_buf_add(&buf, "", 0, &err), 0);
    ck_assert_int_eq(qg_buf_puts(&buf, "x", &err), -1);
    ck_assert_int_eq(err.kind, QG_ERR_TOO_LARGE);
    ck_assert_str_eq(qg_buf_text(&buf), "0123456789");
    qg_err_clear(&err);
    ck_assert_int_eq(qg_buf_reserve(&buf, SIZE_MAX, &err), -1);
    ck_assert_int_eq(err.kind, QG_ERR_TOO_LARGE);
}
END_TEST

static int fill(void *data, struct qg_err *err) {
    (void)data;
    QG_AUTO(buf) struct qg_buf buf = {0};
    for (int i = 0; i < 200; i++)
        if (qg_buf_printf(&buf, err, "%d", i) < 0)
            return -1;
    QG_AUTO_STR char *text = qg_buf_steal(&buf, err);
    return text ? 0 : -1;
}

START_TEST(buffers_survive_want_of_memory) {
    qg_chaos_each(fill, NULL, false);
}
END_TEST

/* ---- text ---- */

static const struct {
    const char *from, *to;
} cleaned[] = {
    {"plain", "plain"},
    {"tab\tnl\nesc\x1b", "tab?nl?esc?"},
    {"\x7f", "?"},
    {"Ünïcödé €", "Ünïcödé €"},
    {"bad \xff\xfe", "bad ??"},
    {"cut \xe2\x82", "cut ??"},
    {"overlong \xc0\xaf", "overlong ??"},
    {"surrogate \xed\xa0\x80", "surrogate ???"},
    {"over \xf4\x90\x80\x80", "over ????"},
    {"c1 \xc2\x9b", "c1 ?"},
    {"bidi \xe2\x80\xae!", "bidi ?!"},
    {"bom \xef\xbb\xbf", "bom ?"},
    {"arabic mark \xd8\x9c!", "arabic mark ?!"},
    {"isolate \xe2\x81\xa6!", "isolate ?!"},
    {"line \xe2\x80\xa8!", "line ?!"},
    {"hy\xc2\xadphen", "hy?phen"},
    {"no \xe2\x80\x8bwidth", "no ?width"},
    {"word \xe2\x81\xa0joiner", "word ?joiner"},
    {"note \xef\xbf\xb9!", "note ?!"},
    {"tag \xf3\xa0\x81\x81!", "tag ?!"},
    {"\xe2\x80\x93 \xe2\x80\xa6 \xe2\x86\x92", "\xe2\x80\x93 \xe2\x80\xa6 \xe2\x86\x92"},
    {"", ""},
};

START_TEST(text_is_cleaned) {
    char text[64];
    strcpy(text, cleaned[_i].from);
    qg_text_clean(text);
    ck_assert_str_eq(text, cleaned[_i].to);
}
END_TEST

START_TEST(blocks_keep_their_lines) {
    char text[] = "a\nb\r\n\tc";
    qg_text_clean_block(text);
    ck_assert_str_eq(text, "a\nb?\n?c");
}
END_TEST

START_TEST(data_keep_lines_and_tabs) {
    char text[] = "a\nb\tc\x1b\xff\r";
    ck_assert(!qg_text_is_clean_data(text));
    qg_text_clean_data(text);
    ck_assert_str_eq(text, "a\nb\tc???");
    ck_assert(qg_text_is_clean_data(text));
    ck_assert(qg_text_is_clean_data(""));
    ck_assert(qg_text_is_clean_data("\xc3\x84"));
    ck_assert(!qg_text_is_clean_data("\xc3"));
}
END_TEST

START_TEST(utf8_is_known) {
    ck_assert(qg_text_is_utf8("", 0));
    ck_assert(qg_text_is_utf8("a\xf0\x9f\x98\x80", 5));
    ck_assert(!qg_text_is_utf8("a\0b", 3));
    ck_assert(!qg_text_is_utf8("\xf0\x9f\x98\x80", 3));
    ck_assert(!qg_text_is_utf8("\x80", 1));
    ck_assert(!qg_text_is_utf8("\xf5\x80\x80\x80", 4));
}
END_TEST

static const struct {
    const char *text;
    bool ok;
    int64_t number;
} integers[] = {
    {"0", true, 0},
    {"-0", true, 0},
    {"4000", true, 4000},
    {"-17", true, -17},
    {"9223372036854775807", true, INT64_MAX},
    {"-9223372036854775808", true, INT64_MIN},
    {"9223372036854775808", false, 0},
    {"-9223372036854775809", false, 0},
    {"99999999999999999999999", false, 0},
    {"", false, 0},
    {"-", false, 0},
    {"+1", false, 0},
    {" 1", false, 0},
    {"1 ", false, 0},
    {"1.0", false, 0},
    {"0x1", false, 0},
    {"--1", false, 0},
};

START_TEST(integers_are_read_whole) {
    int64_t number = 0;
    ck_assert_int_eq(qg_text_to_int(integers[_i].text, &number), integers[_i].ok);
    ck_assert_int_eq(number, integers[_i].number);
}
END_TEST

START_TEST(hex_is_read_whole) {
    uint64_t number = 0;
    ck_assert(qg_text_to_hex("0x10De", &number) && number == 0x10de);
    ck_assert(qg_text_to_hex("ffffffffffffffff", &number) && number == UINT64_MAX);
    ck_assert(qg_text_to_hex("0", &number) && number == 0);
    ck_assert(!qg_text_to_hex("", &number) && !qg_text_to_hex("0x", &number));
    ck_assert(!qg_text_to_hex("10000000000000000", &number));
    ck_assert(!qg_text_to_hex("1g", &number) && !qg_text_to_hex("-1", &number));
}
END_TEST

START_TEST(ends_of_text_are_known) {
    ck_assert(qg_text_starts("abc", "ab") && qg_text_starts("abc", ""));
    ck_assert(!qg_text_starts("ab", "abc"));
    ck_assert(qg_text_ends("abc", "bc") && qg_text_ends("abc", ""));
    ck_assert(!qg_text_ends("bc", "abc"));
}
END_TEST

START_TEST(nearest_words_are_found) {
    const char *const words[] = {"memory", "maxmem", "vcpus", "label", "virt_mode", "mem", NULL};
    const char *const none[] = {NULL};
    ck_assert_str_eq(qg_text_nearest("memroy", words), "memory");
    ck_assert_str_eq(qg_text_nearest("Virt-Mode", words), "virt_mode");
    ck_assert_str_eq(qg_text_nearest("vcpu", words), "vcpus");
    ck_assert_str_eq(qg_text_nearest("mam", words), "mem");
    ck_assert_ptr_null(qg_text_nearest("something", words));
    ck_assert_ptr_null(qg_text_nearest("", words));
    ck_assert_ptr_null(qg_text_nearest("memory", none));
    char longest[200];
    memset(longest, 'm', sizeof(longest) - 1);
    longest[sizeof(longest) - 1] = '\0';
    ck_assert_ptr_null(qg_text_nearest(longest, words));
    const char *const too_long[] = {longest, "label", NULL};
    ck_assert_str_eq(qg_text_nearest("labl", too_long), "label");
}
END_TEST

START_TEST(text_is_formatted) {
    QG_AUTO_STR char *text = qg_text_format("%s-%d", "a", 7);
    ck_assert_str_eq(text, "a-7");
}
END_TEST

/* ---- deadlines, descriptors, log ---- */

static bool give_up(void *data) {
    return *(bool *)data;
}

START_TEST(deadlines_pass) {
    struct qg_deadline deadline = qg_deadline_in(60000);
    ck_assert_int_gt(qg_deadline_left(&deadline), 59000);
    ck_assert_int_le(qg_deadline_left(&deadline), 60000);
    ck_assert(!qg_deadline_interrupted(&deadline));
    deadline.at_ms = qg_clock_ms() - 1;
    ck_assert_int_eq(qg_deadline_left(&deadline), 0);
    deadline.at_ms = INT64_MAX;
    ck_assert_int_eq(qg_deadline_left(&deadline), INT_MAX);
    bool stop = false;
    deadline.interrupted = give_up;
    deadline.data = &stop;
    ck_assert(!qg_deadline_interrupted(&deadline));
    stop = true;
    ck_assert(qg_deadline_interrupted(&deadline));
}
END_TEST

START_TEST(descriptors_close_once) {
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    int copy = fd;
    ck_assert_int_ge(fd, 0);
    errno = EINTR;
    qg_fd_close(&fd);
    ck_assert_int_eq(errno, EINTR);
    ck_assert_int_eq(fd, -1);
    ck_assert_int_eq(fcntl(copy, F_GETFD), -1);
    qg_fd_close(&fd);
}
END_TEST

static void keep(void *data, enum qg_log_level level, const char *line) {
    snprintf(data, 64, "%d %s", (int)level, line);
    errno = EIO;
}

START_TEST(log_lines_are_clean) {
    char seen[64] = "";
    struct qg_log sink = {.emit = keep, .data = seen};
    errno = EAGAIN;
    qg_log(&sink, QG_LOG_WARNING, "a\n%s", "b");
    ck_assert_str_eq(seen, "2 a?b");
    ck_assert_int_eq(errno, EAGAIN);
    qg_log(NULL, QG_LOG_INFO, "nobody");
    qg_log(&(struct qg_log){0}, QG_LOG_INFO, "nobody");
}
END_TEST

Suite *qg_suite_base(void) {
    Suite *suite = suite_create("base");
    TCase *errors = tcase_create("errors");
    tcase_add_test(errors, first_error_wins);
    tcase_add_test(errors, errors_need_no_place);
    tcase_add_test(errors, errors_keep_errno);
    tcase_add_test(errors, errors_are_clean_and_bounded);
    tcase_add_test(errors, places_need_an_error);
    tcase_add_test(errors, every_kind_has_a_name);
    suite_add_tcase(suite, errors);
    TCase *buffers = tcase_create("buffers");
    tcase_add_test(buffers, buffers_grow_and_are_stolen);
    tcase_add_test(buffers, buffers_have_a_cap);
    tcase_add_test(buffers, buffers_survive_want_of_memory);
    suite_add_tcase(suite, buffers);
    TCase *text = tcase_create("text");
    tcase_add_loop_test(text, text_is_cleaned, 0, (int)QG_ARRAY_LEN(cleaned));
    tcase_add_test(text, blocks_keep_their_lines);
    tcase_add_test(text, data_keep_lines_and_tabs);
    tcase_add_test(text, utf8_is_known);
    tcase_add_loop_test(text, integers_are_read_whole, 0, (int)QG_ARRAY_LEN(integers));
    tcase_add_test(text, hex_is_read_whole);
    tcase_add_test(text, ends_of_text_are_known);
    tcase_add_test(text, nearest_words_are_found);
    tcase_add_test(text, text_is_formatted);
    suite_add_tcase(suite, text);
    TCase *rest = tcase_create("deadlines, descriptors, log");
    tcase_add_test(rest, deadlines_pass);
    tcase_add_test(rest, descriptors_close_once);
    tcase_add_test(rest, log_lines_are_clean);
    suite_add_tcase(suite, rest);
    return suite;
}
