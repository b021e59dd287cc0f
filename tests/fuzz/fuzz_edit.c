/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The edits of apt's sources, boot loader entries and dnf.conf; the first byte says which. Edited
 * twice is edited once, and what an edit does not mean stays byte for byte. */
#include "fuzz.h"

#include "nvidia/edit.h"

typedef int editor(const char *text, struct qg_buf *out, struct qg_err *err);

static const char *const components[] = {"contrib", "non-free", NULL};
static const struct qg_apt_wanted strict = {.codename = "bookworm", .components = components};
static const struct qg_apt_wanted lenient = {
    .codename = "bookworm", .components = components, .doubt = {2, 2, 2}};

static int edit_list(const char *text, struct qg_buf *out, struct qg_err *err) {
    size_t matched[QG_APT_SUITES] = {0};
    return qg_edit_apt_list(text, &strict, out, matched, err);
}

static int edit_list_lenient(const char *text, struct qg_buf *out, struct qg_err *err) {
    size_t matched[QG_APT_SUITES] = {0};
    return qg_edit_apt_list(text, &lenient, out, matched, err);
}

static int edit_deb822(const char *text, struct qg_buf *out, struct qg_err *err) {
    size_t matched[QG_APT_SUITES] = {0};
    return qg_edit_apt_deb822(text, &strict, out, matched, err);
}

static int add_item(const char *text, struct qg_buf *out, struct qg_err *err) {
    return qg_edit_boot_entry_add(text, "modprobe.blacklist", "nouveau", out, err);
}

static int remove_item(const char *text, struct qg_buf *out, struct qg_err *err) {
    return qg_edit_boot_entry_remove(text, "modprobe.blacklist", "nouveau", out, err);
}

static int exclude(const char *text, struct qg_buf *out, struct qg_err *err) {
    return qg_edit_dnf_exclude(text, "grubby-dummy", out, err);
}

static int include(const char *text, struct qg_buf *out, struct qg_err *err) {
    return qg_edit_dnf_include(text, "grubby-dummy", out, err);
}

static char *edit(editor *editor, const char *text) {
    QG_AUTO(buf) struct qg_buf out = {0}, again = {0};
    struct qg_err err = {0};
    MUST(editor(text, &out, &err) == 0);
    MUST(editor(qg_buf_text(&out), &again, &err) == 0);
    MUST(strcmp(qg_buf_text(&out), qg_buf_text(&again)) == 0);
    return qg_buf_steal(&out, &err);
}

/* True where all of part's bytes are in whole, in this order. */
static bool is_within(const char *part, const char *whole) {
    for (; *part && *whole; whole++)
        part += *part == *whole;
    return !*part;
}

/* An edit that only adds. */
static void try_widening(editor *editor, const char *text) {
    QG_AUTO_STR char *out = edit(editor, text);
    MUST(is_within(text, out));
}

/* Taking out what was not there, or was put in just before, gives the text that was. */
static void try_pair(editor *add, editor *take, const char *text) {
    QG_AUTO_STR char *added = edit(add, text);
    QG_AUTO_STR char *removed = edit(take, text);
    QG_AUTO_STR char *back = edit(take, added);
    MUST(is_within(text, added) && is_within(removed, text));
    if (strcmp(removed, text) == 0)
        MUST(strcmp(back, text) == 0);
}

/* An exclude that was there before may be a pattern, which stays. */
static void try_dnf(const char *text) {
    QG_AUTO_STR char *added = edit(exclude, text);
    QG_AUTO_STR char *removed = edit(include, text);
    QG_AUTO_STR char *back = edit(include, added);
    MUST(strlen(added) >= strlen(text) && strlen(removed) <= strlen(text));
    QG_AUTO_STR char *once_more = edit(exclude, back);
    MUST(strlen(once_more) >= strlen(back));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct input input = {data, size};
    uint8_t kind = take_byte(&input);
    QG_AUTO_STR char *text = take_text(&input);
    switch (kind) {
    case 'l':
        try_widening(edit_list, text);
        try_widening(edit_list_lenient, text);
        break;
    case 's':
        try_widening(edit_deb822, text);
        break;
    case 'b':
        try_pair(add_item, remove_item, text);
        break;
    case 'd':
        try_dnf(text);
        break;
    default:
        return -1; /* not worth keeping */
    }
    return 0;
}
