/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "nvidia/parse.h"

#include "base/text.h"

#include <check.h>
#include <string.h>

Suite *qg_suite_nvidia_parse(void);

static struct qg_err err;

START_TEST(os_release) {
    struct qg_release release;
    qg_parse_os_release("NAME=\"Fedora Linux\"\nVERSION_ID=41\nID=fedora\nVERSION_CODENAME=\"\"\n"
                        "PRETTY_NAME=\"Fedora Linux 41 (Workstation)\"\n",
                        &release);
    ck_assert_int_eq(release.family, QG_FAMILY_FEDORA);
    ck_assert_int_eq(release.number, 41);
    ck_assert_str_eq(release.pretty, "Fedora Linux 41 (Workstation)");
    qg_parse_os_release("ID='debian'\r\nVERSION_ID=\"12\"\nVERSION_CODENAME=bookworm", &release);
    ck_assert_int_eq(release.family, QG_FAMILY_DEBIAN);
    ck_assert_int_eq(release.number, 12);
    ck_assert_str_eq(release.codename, "bookworm");
    qg_parse_os_release("ID=ubuntu\nVERSION_ID=24.04\nID_LIKE=debian\n", &release);
    ck_assert_int_eq(release.family, QG_FAMILY_OTHER);
    ck_assert_int_eq(release.number, 24);
    qg_parse_os_release("", &release);
    ck_assert_int_eq(release.number, 0);
    ck_assert_str_eq(release.id, "");
}
END_TEST

START_TEST(versions) {
    static const char *const sorted[] = {"5.19", "6.1.0-9-amd64", "6.1.0-56-amd64",
                                         "6.8.5-301.fc40.x86_64", "6.14.5-100.fc40.x86_64"};
    for (size_t i = 0; i < QG_ARRAY_LEN(sorted); i++)
        for (size_t j = 0; j < QG_ARRAY_LEN(sorted); j++) {
            int order = qg_version_compare(sorted[i], sorted[j]);
            ck_assert_int_eq((order > 0) - (order < 0), (i > j) - (i < j));
        }
    ck_assert_int_eq(qg_version_compare("1.0", "1.00"), 0);
    ck_assert_int_lt(qg_version_compare("1.a", "1.1"), 0);
    ck_assert_int_gt(qg_version_compare("1.1.1", "1.1"), 0);
}
END_TEST

START_TEST(kernel_and_driver_versions) {
    char out[64];
    qg_parse_proc_version("Linux version 6.8.5-301.fc40.x86_64 (mockbuild@x) (gcc)\n", out,
                          sizeof(out));
    ck_assert_str_eq(out, "6.8.5-301.fc40.x86_64");
    qg_parse_nvrm_version("NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.159.04  "
                          "Release Build  (nixbld@)  \nGCC version:  gcc version 13.3.0\n",
                          out, sizeof(out));
    ck_assert_str_eq(out, "580.159.04");
    qg_parse_nvrm_version(
        "NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.183.01  Sun May 12\n", out,
        sizeof(out));
    ck_assert_str_eq(out, "535.183.01");
    qg_parse_nvrm_version("nonsense 1.2.3\n", out, sizeof(out));
    ck_assert_str_eq(out, "");
}
END_TEST

START_TEST(dpkg_status) {
    QG_AUTO(json) json_t *installed = json_object(), *broken = json_object(), *held = json_array();
    ck_assert_int_eq(
        qg_parse_dpkg_status("Package: a\nStatus: install ok installed\nVersion: 1\nDepends: x\n\n"
                             "Package: b\nStatus: hold ok installed\nVersion: 2:3~4\n\n"
                             "Package: c\nStatus: install ok half-configured\nVersion: 3\n\n"
                             "Package: d\nStatus: deinstall ok config-files\nVersion: 4\n\n"
                             "Status: install ok installed\n\n"
                             "Package: e\nStatus: install reinstreq half-installed\nVersion: 5",
                             installed, broken, held, &err),
        0);
    QG_AUTO_STR char *text = qg_value_dump(installed, &err);
    ck_assert_str_eq(text, "{\"a\":\"1\",\"b\":\"2:3~4\"}");
    QG_AUTO_STR char *states = qg_value_dump(broken, &err);
    ck_assert_str_eq(states, "{\"c\":\"half-configured\",\"e\":\"half-installed\"}");
    QG_AUTO_STR char *holds = qg_value_dump(held, &err);
    ck_assert_str_eq(holds, "[\"b\"]");
}
END_TEST

static void check_repos(json_t *repos, const char *expected) {
    QG_AUTO_STR char *text = qg_value_dump(repos, &err);
    ck_assert_str_eq(text, expected);
}

START_TEST(repositories) {
    QG_AUTO(json) json_t *repos = json_object();
    ck_assert_int_eq(
        qg_parse_repo_file("[main]\nenabled=1\n[a]\nname=A\nenabled = False\n#enabled=1\n[b]\n"
                           "name=B\n[b-debuginfo]\nenabled=0\n",
                           repos, &err),
        0);
    check_repos(repos, "{\"a\":false,\"b\":true,\"b-debuginfo\":false}");
    ck_assert_int_eq(
        qg_parse_repo_override("# generated\n[a]\nenabled=1\n[b*]\nenabled=0\n[new]\nenabled=1\n",
                               repos, &err),
        0);
    check_repos(repos, "{\"a\":true,\"b\":false,\"b-debuginfo\":false}");
}
END_TEST

START_TEST(repolist) {
    QG_AUTO(json) json_t *columns = json_object(), *json = json_object();
    ck_assert_int_eq(qg_parse_repolist("repo id             repo name              status\n"
                                       "fedora              Fedora 40              enabled\n"
                                       "rpmfusion-free      RPM Fusion             disabled\n",
                                       columns, &err),
                     0);
    check_repos(columns, "{\"fedora\":true,\"rpmfusion-free\":false}");
    ck_assert_int_eq(qg_parse_repolist("[\n{\"id\":\"fedora\",\"name\":\"F\",\"is_enabled\":true},"
                                       "{\"id\":\"x\",\"name\":\"X\",\"is_enabled\":false}]\n",
                                       json, &err),
                     0);
    check_repos(json, "{\"fedora\":true,\"x\":false}");
}
END_TEST

START_TEST(build_errors_are_quoted) {
    QG_AUTO(buf) struct qg_buf out = {0};
    ck_assert_int_eq(
        qg_parse_build_errors("  CC [M]  a.o\nnv-pci.c: In function 'x':\n"
                              "nv-pci.c:237:17: error: too few arguments to function 'y'\n"
                              "  237 |  y();\nmake[2]: *** [a.o] Error 1\n",
                              3, &out, &err),
        0);
    ck_assert_str_eq(qg_buf_text(&out), "  nv-pci.c:237:17: error: too few arguments to function "
                                        "'y'");
    QG_AUTO(buf) struct qg_buf tail = {0};
    ck_assert_int_eq(qg_parse_build_errors("a\n\nb\nc\n", 2, &tail, &err), 0);
    ck_assert_str_eq(qg_buf_text(&tail), "  b\n  c");
    QG_AUTO(buf) struct qg_buf none = {0};
    ck_assert_int_eq(qg_parse_build_errors("", 2, &none, &err), 0);
    ck_assert_str_eq(qg_buf_text(&none), "");
}
END_TEST

START_TEST(settings_and_lists) {
    char out[32];
    ck_assert(
        qg_parse_setting("# GRUB\nsaved_entry=abc-1\n#####", "saved_entry", out, sizeof(out)));
    ck_assert_str_eq(out, "abc-1");
    ck_assert(!qg_parse_setting("x=1\n", "y", out, sizeof(out)));
    QG_AUTO(json) json_t *installed = json_object();
    ck_assert_int_eq(
        qg_parse_rpm_list("akmods 0.5\npackage x is not installed\nkernel\t6.1\n", installed, &err),
        0);
    check_repos(installed, "{\"akmods\":\"0.5\",\"kernel\":\"6.1\"}");
    ck_assert_int_eq(qg_parse_rpm_list("a.noarch 1\ngpg-pubkey.(none) 2\nb.i686 3\n"
                                       "kmod-nvidia-6.8.5-301.fc40.x86_64.x86_64 4\n",
                                       installed, &err),
                     0);
    check_repos(installed,
                "{\"akmods\":\"0.5\",\"kernel\":\"6.1\",\"a\":\"1\",\"gpg-pubkey\":\"2\","
                "\"b.i686\":\"3\",\"kmod-nvidia-6.8.5-301.fc40.x86_64\":\"4\"}");
    ck_assert(qg_parse_is_offline("W: Could not resolve 'mirror.example'\n"));
    ck_assert(!qg_parse_is_offline("No match for argument: x\n"));
    static const char away[] = "  Could not resolve 'mirror.example'\n";
    static const struct {
        const char *line;
        bool offline;
    } others[] = {{"Get:1 file:/srv/repository ./ InRelease", true},
                  {"Get:1 http://m.example/debian bookworm InRelease [151 kB]", false},
                  {"google-chrome             0.0  B/s |   0  B     00:00", true},
                  {"fedora for Fedora 40      2.9 MB/s | 3.0 kB     00:00", false},
                  {"google-chrome          ???% |   0.0   B/s |  -1.0   B |  ?", true},
                  {"fedora for Fedora 41   100% |   2.9 MiB/s |   3.0 KiB |  00m00s", false}};
    for (size_t i = 0; i < QG_ARRAY_LEN(others); i++) {
        QG_AUTO_STR char *text = qg_text_format("%s%s\n", away, others[i].line);
        ck_assert_int_eq(qg_parse_is_offline(text), others[i].offline);
    }
}
END_TEST

START_TEST(modinfo) {
    static const char section[] = "version=535.1\0license=NVIDIA\0\0\0name=nvidia";
    char out[32];
    ck_assert(qg_parse_modinfo(section, sizeof(section) - 1, "version", out, sizeof(out)));
    ck_assert_str_eq(out, "535.1");
    ck_assert(qg_parse_modinfo(section, sizeof(section) - 1, "name", out, sizeof(out)));
    ck_assert_str_eq(out, "nvidia");
    ck_assert(!qg_parse_modinfo(section, sizeof(section) - 1, "vers", out, sizeof(out)));
    ck_assert(!qg_parse_modinfo("", 0, "version", out, sizeof(out)));
}
END_TEST

Suite *qg_suite_nvidia_parse(void) {
    Suite *suite = suite_create("nvidia parse");
    TCase *tests = tcase_create("parse");
    tcase_add_test(tests, os_release);
    tcase_add_test(tests, versions);
    tcase_add_test(tests, kernel_and_driver_versions);
    tcase_add_test(tests, dpkg_status);
    tcase_add_test(tests, repositories);
    tcase_add_test(tests, repolist);
    tcase_add_test(tests, build_errors_are_quoted);
    tcase_add_test(tests, settings_and_lists);
    tcase_add_test(tests, modinfo);
    suite_add_tcase(suite, tests);
    return suite;
}
