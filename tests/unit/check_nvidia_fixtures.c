/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The editors and readers over the texts in tests/data/beds. */
#include "doc/kernel_cmdline.h"
#include "host/host.h"
#include "nvidia/edit.h"
#include "nvidia/facts.h"

#include "base/text.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

Suite *qg_suite_nvidia_fixtures(void);

#ifndef QG_TEST_DATA
#define QG_TEST_DATA "tests/data"
#endif

static struct qg_host *host;
static struct qg_err err;
static unsigned seen;

static void make_host(void) {
    err = (struct qg_err){0};
    host = qg_host_new("", NULL, &err);
    ck_assert_ptr_nonnull(host);
    seen = 0;
}

static void drop_host(void) {
    qg_host_free(host);
}

static char *full_path(const char *path) {
    QG_AUTO_STR char *joined = qg_text_format("%s/beds/%s", QG_TEST_DATA, path);
    char *absolute = realpath(joined, NULL);
    ck_assert_ptr_nonnull(absolute);
    return absolute;
}

static char *read_file(const char *path) {
    QG_AUTO_STR char *absolute = full_path(path);
    QG_AUTO(buf) struct qg_buf text = {0};
    ck_assert_int_eq(qg_host_read(host, absolute, &text, NULL, &err), 0);
    return qg_buf_steal(&text, &err);
}

typedef char *edit_function(const char *text, const char *file, const char *data);

/* Every X.in must become X.out, and X.out stay as it is. */
static void check_folder(const char *folder, edit_function *edit, const char *data) {
    QG_AUTO_STR char *absolute = full_path(folder);
    QG_AUTO(names) char **names = qg_host_list(host, absolute, &err);
    ck_assert_ptr_nonnull(names);
    for (char **name = names; *name; name++) {
        if (!qg_text_ends(*name, ".in"))
            continue;
        size_t stem = strlen(*name) - strlen(".in");
        QG_AUTO_STR char *in_path = qg_text_format("%s/%s", folder, *name);
        QG_AUTO_STR char *out_path = qg_text_format("%s/%.*s.out", folder, (int)stem, *name);
        QG_AUTO_STR char *file = qg_text_format("%.*s", (int)stem, *name);
        QG_AUTO_STR char *in = read_file(in_path);
        QG_AUTO_STR char *expected = read_file(out_path);
        QG_AUTO_STR char *once = edit(in, file, data);
        ck_assert_msg(strcmp(once, expected) == 0, "%s: got\n%s", in_path, once);
        QG_AUTO_STR char *twice = edit(expected, file, data);
        ck_assert_msg(strcmp(twice, expected) == 0, "%s again: got\n%s", out_path, twice);
        seen++;
    }
}

static char *widen(const char *text, const char *file, const char *codename) {
    static const char *const components[] = {"contrib", "non-free", "non-free-firmware", NULL};
    /* The key in a stanza may be anybody's. */
    int doubt = strcmp(file, "inline-key.sources") == 0 ? 1 : 0;
    struct qg_apt_wanted wanted = {
        .codename = codename, .components = components, .doubt = {doubt, doubt, doubt}};
    QG_AUTO(buf) struct qg_buf out = {0};
    size_t matched[QG_APT_SUITES] = {0};
    ck_assert_int_eq((qg_text_ends(file, ".list") ? qg_edit_apt_list : qg_edit_apt_deb822)(
                         text, &wanted, &out, matched, &err),
                     0);
    return qg_buf_steal(&out, &err);
}

START_TEST(apt_sources) {
    check_folder("apt/bookworm", widen, "bookworm");
    check_folder("apt/trixie", widen, "trixie");
    ck_assert_uint_ge(seen, 10);
}
END_TEST

static char *exclude(const char *text, const char *file, const char *package) {
    (void)file;
    QG_AUTO(buf) struct qg_buf out = {0};
    ck_assert_int_eq(qg_edit_dnf_exclude(text, package, &out, &err), 0);
    return qg_buf_steal(&out, &err);
}

START_TEST(dnf_excludes) {
    check_folder("dnf", exclude, "grubby-dummy");
    ck_assert_uint_ge(seen, 10);
}
END_TEST

static char *add_to_entry(const char *text, const char *file, const char *item) {
    (void)file;
    QG_AUTO(buf) struct qg_buf out = {0};
    ck_assert_int_eq(qg_edit_boot_entry_add(text, "rd.driver.blacklist", item, &out, &err), 0);
    return qg_buf_steal(&out, &err);
}

START_TEST(boot_loader_entries) {
    check_folder("bls", add_to_entry, "nouveau");
    ck_assert_uint_ge(seen, 2);
}
END_TEST

static char *add_to_grub(const char *text, const char *file, const char *item) {
    (void)file;
    return qg_grub_add_item(text, strlen(text), QG_GRUB_CMDLINE, "rd.driver.blacklist", item,
                            QG_CMDLINE_ALL, &err);
}

START_TEST(grub_defaults) {
    check_folder("grub", add_to_grub, "nouveau");
    ck_assert_uint_ge(seen, 4);
}
END_TEST

START_TEST(releases) {
    static const struct {
        const char *file;
        enum qg_family family;
        int number;
        bool supported;
    } cases[] = {
        {"fedora-39", QG_FAMILY_FEDORA, 39, false}, {"fedora-40", QG_FAMILY_FEDORA, 40, true},
        {"fedora-41", QG_FAMILY_FEDORA, 41, true},  {"fedora-42", QG_FAMILY_FEDORA, 42, true},
        {"fedora-43", QG_FAMILY_FEDORA, 43, true},  {"debian-11", QG_FAMILY_DEBIAN, 11, false},
        {"debian-12", QG_FAMILY_DEBIAN, 12, true},  {"debian-13", QG_FAMILY_DEBIAN, 13, true},
        {"debian-14", QG_FAMILY_DEBIAN, 0, false},  {"ubuntu-24.04", QG_FAMILY_OTHER, 24, false},
    };
    for (size_t i = 0; i < QG_ARRAY_LEN(cases); i++) {
        QG_AUTO_STR char *path = qg_text_format("os-release/%s", cases[i].file);
        QG_AUTO_STR char *text = read_file(path);
        struct qg_release release;
        qg_parse_os_release(text, &release);
        ck_assert_msg(release.family == cases[i].family, "%s", path);
        if (cases[i].number)
            ck_assert_msg(release.number == cases[i].number, "%s", path);
        struct qg_err refused = {0};
        bool supported = qg_driver_check_supported(&release, &refused) == 0;
        ck_assert_msg(supported == cases[i].supported, "%s", path);
    }
}
END_TEST

START_TEST(failed_builds_are_quoted) {
    static const char *const files[] = {"dkms/debian13-open-make.log",
                                        "akmods/550.90.07-1-for-6.8.5-301.fc40.x86_64.failed.log"};
    for (size_t i = 0; i < QG_ARRAY_LEN(files); i++) {
        QG_AUTO_STR char *text = read_file(files[i]);
        QG_AUTO(buf) struct qg_buf lines = {0};
        ck_assert_int_eq(qg_parse_build_errors(text, 3, &lines, &err), 0);
        ck_assert_msg(strstr(qg_buf_text(&lines), "error: too few arguments to function"),
                      "%s:\n%s", files[i], qg_buf_text(&lines));
    }
}
END_TEST

START_TEST(loaded_driver) {
    char version[64];
    QG_AUTO_STR char *open = read_file("proc/nvrm-open");
    qg_parse_nvrm_version(open, version, sizeof(version));
    ck_assert_str_eq(version, "580.159.04");
    QG_AUTO_STR char *closed = read_file("proc/nvrm-proprietary");
    qg_parse_nvrm_version(closed, version, sizeof(version));
    ck_assert_ptr_nonnull(strchr(version, '.'));
    QG_AUTO_STR char *garbled = read_file("proc/nvrm-garbled");
    qg_parse_nvrm_version(garbled, version, sizeof(version));
}
END_TEST

/* A root with one module file in the place where DKMS or akmods puts it. */
static void check_module(const char *file, const char *as, const char *name, const char *version) {
    char root[] = "/tmp/qg-module-XXXXXX";
    ck_assert_ptr_nonnull(mkdtemp(root));
    QG_AUTO(host) struct qg_host *qube = qg_host_new(root, NULL, &err);
    QG_AUTO_STR char *absolute = full_path(file);
    QG_AUTO_STR char *path = qg_text_format("/lib/modules/6.1/updates/dkms/%s", as);
    QG_AUTO(buf) struct qg_buf content = {0};
    ck_assert_int_eq(qg_host_read(host, absolute, &content, NULL, &err), 0);
    ck_assert_int_eq(qg_host_mkdirs(qube, "/lib/modules/6.1/updates/dkms", &err), 0);
    ck_assert_int_eq(qg_host_write(qube, path, content.data, content.length, 0644, NULL, &err), 0);
    struct qg_module module;
    bool found;
    ck_assert_int_eq(qg_module_find(qube, "6.1", &module, &found, &err), 0);
    ck_assert(found == (name != NULL));
    ck_assert_str_eq(module.name, name ? name : "");
    ck_assert_str_eq(module.version, version);
    ck_assert_int_eq(qg_host_remove_tree(host, root, &err), 0);
}

START_TEST(module_files) {
    check_module("ko/nvidia.ko", "nvidia.ko", "nvidia", "550.90.07");
    check_module("ko/nvidia-current.ko", "nvidia-current.ko", "nvidia-current", "535.309.01");
    check_module("ko/cut.ko", "nvidia.ko", "nvidia", "");
    check_module("ko/far.ko", "nvidia.ko", "nvidia", "");
    check_module("ko/nvidia.ko.xz", "nvidia.ko.xz", "nvidia", ""); /* no modinfo in this root */
    check_module("ko/nvidia.ko", "nvidia-drm.ko", NULL, "");
    check_module("ko/nvidia.ko", "nvidia_wmi_ec_backlight.ko", NULL, "");
}
END_TEST

Suite *qg_suite_nvidia_fixtures(void) {
    Suite *suite = suite_create("nvidia fixtures");
    TCase *tests = tcase_create("fixtures");
    tcase_add_checked_fixture(tests, make_host, drop_host);
    tcase_add_test(tests, apt_sources);
    tcase_add_test(tests, dnf_excludes);
    tcase_add_test(tests, boot_loader_entries);
    tcase_add_test(tests, grub_defaults);
    tcase_add_test(tests, releases);
    tcase_add_test(tests, failed_builds_are_quoted);
    tcase_add_test(tests, loaded_driver);
    tcase_add_test(tests, module_files);
    suite_add_tcase(suite, tests);
    return suite;
}
