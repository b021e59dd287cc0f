/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "nvidia/edit.h"

#include <check.h>
#include <string.h>

Suite *qg_suite_nvidia_edit(void);

static const char *const components[] = {"contrib", "non-free", "non-free-firmware", NULL};

typedef int edit_apt(const char *text, const struct qg_apt_wanted *wanted, struct qg_buf *out,
                     size_t *matched, struct qg_err *err);

/* Edits twice: the second time must change nothing. */
static void check_apt(edit_apt *edit, const char *codename, int doubt, const char *text,
                      const char *expected, size_t expected_matched) {
    struct qg_apt_wanted wanted = {
        .codename = codename, .components = components, .doubt = {doubt, doubt, doubt}};
    struct qg_err err = {0};
    for (int round = 0; round < 2; round++) {
        QG_AUTO(buf) struct qg_buf out = {0};
        size_t matched[QG_APT_SUITES] = {0};
        ck_assert_int_eq(edit(round ? expected : text, &wanted, &out, matched, &err), 0);
        ck_assert_str_eq(qg_buf_text(&out), expected);
        ck_assert_uint_eq(matched[0] + matched[1] + matched[2], expected_matched);
    }
}

static void check_list(const char *text, const char *expected, size_t matched) {
    check_apt(qg_edit_apt_list, "bookworm", 0, text, expected, matched);
}

static void check_deb822(const char *text, const char *expected, size_t matched) {
    check_apt(qg_edit_apt_deb822, "trixie", 0, text, expected, matched);
}

START_TEST(qubes_sources_are_widened_on_archive_and_security) {
    check_list("deb https://mirror.example/debian bookworm main contrib non-free-firmware\n"
               "#deb-src https://mirror.example/debian bookworm main contrib\n"
               "\n"
               "deb https://mirror.example/debian-security bookworm-security main contrib "
               "non-free-firmware\n",
               "deb https://mirror.example/debian bookworm main contrib non-free-firmware "
               "non-free\n"
               "#deb-src https://mirror.example/debian bookworm main contrib\n"
               "\n"
               "deb https://mirror.example/debian-security bookworm-security main contrib "
               "non-free-firmware non-free\n",
               2);
}
END_TEST

START_TEST(the_qubes_repository_stays) {
    const char *text = "deb [arch=amd64 signed-by=/usr/share/keyrings/qubes.gpg] "
                       "https://deb.qubes-os.org/r4.2/vm bookworm main\n";
    check_list(text, text, 0);
}
END_TEST

START_TEST(other_suites_sources_and_flat_ones_stay) {
    const char *text = "deb http://mirror.example/debian sid main\n"
                       "deb http://mirror.example/debian bookworm-backports main\n"
                       "deb http://mirror.example/debian bookwormish main\n"
                       "deb-src http://mirror.example/debian bookworm main\n"
                       "deb http://mirror.example/debian ./\n"
                       "deb http://mirror.example/debian bookworm\n"
                       "deb http://mirror.example/debian\n"
                       "deb [arch=amd64 http://mirror.example/debian bookworm main\n"
                       "debx http://mirror.example/debian bookworm main";
    check_list(text, text, 0);
}
END_TEST

START_TEST(options_comments_spacing_and_line_ends_stay) {
    check_list(
        "deb [ arch=amd64  signed-by=/debian-archive-k ]\thttp://m/debian/  bookworm-updates\tmain   # why "
        "main\r\n",
        "deb [ arch=amd64  signed-by=/debian-archive-k ]\thttp://m/debian/  bookworm-updates\tmain contrib "
        "non-free non-free-firmware   # why main\r\n",
        1);
    check_list("  deb http://m/debian bookworm main",
               "  deb http://m/debian bookworm main contrib non-free non-free-firmware", 1);
}
END_TEST

START_TEST(a_mirror_list_counts) {
    check_list("deb mirror+file:/etc/apt/mirrors/debian.list bookworm main\n",
               "deb mirror+file:/etc/apt/mirrors/debian.list bookworm main contrib non-free "
               "non-free-firmware\n",
               1);
}
END_TEST

START_TEST(a_mirror_with_another_path_only_where_asked) {
    const char *text = "deb http://mirror/pub/d bookworm main contrib\n"
                       "deb https://deb.qubes-os.org/r4.2/vm bookworm main\n";
    check_list(text, text, 0);
    check_apt(qg_edit_apt_list, "bookworm", 1, text,
              "deb http://mirror/pub/d bookworm main contrib non-free non-free-firmware\n"
              "deb https://deb.qubes-os.org/r4.2/vm bookworm main\n",
              1);
}
END_TEST

START_TEST(other_peoples_keyrings_and_entries_without_main_stay) {
    const char *text = "deb [signed-by=/etc/apt/keyrings/x.asc] http://m/debian bookworm main\n"
                       "deb http://m/debian bookworm stable contrib\n"
                       "deb https://deb.qubes.example/r4.2/vm bookworm main\n";
    for (int doubt = 0; doubt <= 2; doubt++)
        check_apt(qg_edit_apt_list, "bookworm", doubt, text, text, 0);
    const char *stanza = "Types: deb\nURIs: http://m/debian\nSuites: trixie\nComponents: main\n"
                         "Signed-By:\n /usr/share/keyrings/x.pgp\n";
    for (int doubt = 0; doubt <= 2; doubt++)
        check_apt(qg_edit_apt_deb822, "trixie", doubt, stanza, stanza, 0);
}
END_TEST

START_TEST(a_key_in_the_entry_may_be_anybodys) {
    const char *text = "Types: deb\nURIs: http://m/debian\nSuites: trixie\nComponents: main\n"
                       "Signed-By:\n -----BEGIN PGP PUBLIC KEY BLOCK-----\n /debian-archive-\n";
    check_apt(qg_edit_apt_deb822, "trixie", 0, text, text, 0);
    check_apt(qg_edit_apt_deb822, "trixie", 1, text,
              "Types: deb\nURIs: http://m/debian\nSuites: trixie\n"
              "Components: main contrib non-free non-free-firmware\n"
              "Signed-By:\n -----BEGIN PGP PUBLIC KEY BLOCK-----\n /debian-archive-\n",
              1);
}
END_TEST

START_TEST(deb822_stanzas) {
    check_deb822("# Debian\n"
                 "Types: deb deb-src\n"
                 "URIs: http://mirror.example/debian\n"
                 "Suites: trixie trixie-updates\n"
                 "Components: main contrib non-free-firmware\n"
                 "Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg\n"
                 "\n"
                 "Types: deb\n"
                 "URIs: http://mirror.example/debian-security/\n"
                 "Suites: trixie-security\n"
                 "Components: main\n",
                 "# Debian\n"
                 "Types: deb deb-src\n"
                 "URIs: http://mirror.example/debian\n"
                 "Suites: trixie trixie-updates\n"
                 "Components: main contrib non-free-firmware non-free\n"
                 "Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg\n"
                 "\n"
                 "Types: deb\n"
                 "URIs: http://mirror.example/debian-security/\n"
                 "Suites: trixie-security\n"
                 "Components: main contrib non-free non-free-firmware\n",
                 3);
}
END_TEST

START_TEST(deb822_odd_forms) {
    check_deb822("types:deb\r\nURIS:\r\n http://other/\r\n http://m/debian\r\nsuites: trixie\r\n"
                 "components: main\r\n# comment contrib\r\n contrib  \r\n \t\r\n"
                 "Enabled: yes\r\n",
                 "types:deb\r\nURIS:\r\n http://other/\r\n http://m/debian\r\nsuites: trixie\r\n"
                 "components: main\r\n# comment contrib\r\n contrib non-free non-free-firmware  "
                 "\r\n \t\r\nEnabled: yes\r\n",
                 1);
}
END_TEST

START_TEST(deb822_disabled_source_only_or_without_components) {
    const char *text = "Enabled: No\nTypes: deb\nURIs: http://m/debian\nSuites: trixie\n"
                       "Components: main\n\n\n"
                       "Types: deb-src\nURIs: http://m/debian\nSuites: trixie\nComponents: main\n\n"
                       "Types: deb\nURIs: http://m/debian\nSuites: trixie/\n\n"
                       "Types: deb\nURIs: https://deb.qubes-os.org/r4.3/vm\nSuites: trixie\n"
                       "Components: main\n\n"
                       "no colon here\n";
    check_deb822(text, text, 0);
}
END_TEST

typedef int edit_dnf(const char *text, const char *package, struct qg_buf *out, struct qg_err *err);

static void check_dnf(edit_dnf *edit, const char *text, const char *expected) {
    struct qg_err err = {0};
    for (int round = 0; round < 2; round++) {
        QG_AUTO(buf) struct qg_buf out = {0};
        ck_assert_int_eq(edit(round ? expected : text, "grubby-dummy", &out, &err), 0);
        ck_assert_str_eq(qg_buf_text(&out), expected);
    }
}

START_TEST(an_exclude_goes_into_main) {
    check_dnf(qg_edit_dnf_exclude, "[main]\ngpgcheck=1\n\n[other]\nx=1\n",
              "[main]\ngpgcheck=1\nexclude=grubby-dummy\n\n[other]\nx=1\n");
    check_dnf(qg_edit_dnf_exclude, "# c\n[main]\ngpgcheck=1",
              "# c\n[main]\ngpgcheck=1\nexclude=grubby-dummy\n");
    check_dnf(qg_edit_dnf_exclude, "", "[main]\nexclude=grubby-dummy\n");
    check_dnf(qg_edit_dnf_exclude, "[updates]\nenabled=1\n",
              "[updates]\nenabled=1\n\n[main]\nexclude=grubby-dummy\n");
    check_dnf(qg_edit_dnf_exclude, "exclude=", "exclude=\n\n[main]\nexclude=grubby-dummy\n");
}
END_TEST

START_TEST(an_exclude_joins_the_list_that_is_there) {
    check_dnf(qg_edit_dnf_exclude, "[main]\nexclude = foo,bar \nx=1\n",
              "[main]\nexclude = foo,bar grubby-dummy \nx=1\n");
    check_dnf(qg_edit_dnf_exclude, "[main]\nexcludepkgs=\nx=1\n",
              "[main]\nexcludepkgs=grubby-dummy\nx=1\n");
    check_dnf(qg_edit_dnf_exclude, "[main]\nexclude=foo\n bar\n",
              "[main]\nexclude=foo grubby-dummy\n bar\n");
    const char *there = "[main]\nexclude=foo\n grubby-*\n[x]\nexclude=y\n";
    check_dnf(qg_edit_dnf_exclude, there, there);
    check_dnf(qg_edit_dnf_exclude, "[x]\nexclude=grubby-dummy\n[main]\n#exclude=grubby-dummy\n",
              "[x]\nexclude=grubby-dummy\n[main]\nexclude=grubby-dummy\n#exclude=grubby-dummy\n");
}
END_TEST

START_TEST(an_exclude_is_taken_out_again) {
    check_dnf(qg_edit_dnf_include, "[main]\na=1\nexclude=grubby-dummy\n\n[o]\n",
              "[main]\na=1\n\n[o]\n");
    check_dnf(qg_edit_dnf_include, "[main]\nexclude=foo grubby-dummy\n", "[main]\nexclude=foo\n");
    check_dnf(qg_edit_dnf_include, "[main]\nexclude=grubby-dummy,foo\n", "[main]\nexclude=foo\n");
    check_dnf(qg_edit_dnf_include, "[main]\nexclude=a grubby-dummy b\n", "[main]\nexclude=a b\n");
    check_dnf(qg_edit_dnf_include, "[main]\nexclude=grubby-dummy\nexcludepkgs=grubby-dummy\n",
              "[main]\n");
    check_dnf(qg_edit_dnf_include, "[main]\nexclude=grubby-dummy grubby-dummy a\n",
              "[main]\nexclude=a\n");
    check_dnf(qg_edit_dnf_include, "[main]\nexclude=x\nexclude=grubby-dummy\n",
              "[main]\nexclude=x\nexclude=\n");
}
END_TEST

static void check_entry(int (*edit)(const char *, const char *, const char *, struct qg_buf *,
                                    struct qg_err *),
                        const char *text, const char *expected) {
    struct qg_err err = {0};
    for (int round = 0; round < 2; round++) {
        QG_AUTO(buf) struct qg_buf out = {0};
        ck_assert_int_eq(
            edit(round ? expected : text, "rd.driver.blacklist", "nouveau", &out, &err), 0);
        ck_assert_str_eq(qg_buf_text(&out), expected);
    }
}

START_TEST(boot_entries) {
    check_entry(qg_edit_boot_entry_add,
                "title F\noptions root=/dev/xvda3 ro quiet \ngrub_class fedora\n",
                "title F\noptions root=/dev/xvda3 ro quiet rd.driver.blacklist=nouveau \n"
                "grub_class fedora\n");
    check_entry(qg_edit_boot_entry_add, "options a rd.driver.blacklist=x,nouveau",
                "options a rd.driver.blacklist=x,nouveau");
    check_entry(qg_edit_boot_entry_add, "options \n", "options rd.driver.blacklist=nouveau\n");
    check_entry(qg_edit_boot_entry_remove, "options a rd.driver.blacklist=nouveau b\nx y\n",
                "options a b\nx y\n");
    check_entry(qg_edit_boot_entry_remove, "options a rd.driver.blacklist=x,nouveau,y\n",
                "options a rd.driver.blacklist=x,y\n");
    check_entry(qg_edit_boot_entry_remove, "options rd.driver.blacklist=nouveau\n", "options \n");
}
END_TEST

Suite *qg_suite_nvidia_edit(void) {
    Suite *suite = suite_create("nvidia edit");
    TCase *apt = tcase_create("apt");
    tcase_add_test(apt, qubes_sources_are_widened_on_archive_and_security);
    tcase_add_test(apt, the_qubes_repository_stays);
    tcase_add_test(apt, other_suites_sources_and_flat_ones_stay);
    tcase_add_test(apt, options_comments_spacing_and_line_ends_stay);
    tcase_add_test(apt, a_mirror_list_counts);
    tcase_add_test(apt, a_mirror_with_another_path_only_where_asked);
    tcase_add_test(apt, other_peoples_keyrings_and_entries_without_main_stay);
    tcase_add_test(apt, a_key_in_the_entry_may_be_anybodys);
    tcase_add_test(apt, deb822_stanzas);
    tcase_add_test(apt, deb822_odd_forms);
    tcase_add_test(apt, deb822_disabled_source_only_or_without_components);
    suite_add_tcase(suite, apt);
    TCase *dnf = tcase_create("dnf and boot entries");
    tcase_add_test(dnf, an_exclude_goes_into_main);
    tcase_add_test(dnf, an_exclude_joins_the_list_that_is_there);
    tcase_add_test(dnf, an_exclude_is_taken_out_again);
    tcase_add_test(dnf, boot_entries);
    suite_add_tcase(suite, dnf);
    return suite;
}
