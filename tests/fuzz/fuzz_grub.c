/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The kernel's command line in /etc/default/grub: edited twice is edited once, and an edit taken
 * back leaves the line as it was. The first byte says which edit. */
#include "fuzz.h"

#include "doc/kernel_cmdline.h"

static const char variable[] = QG_GRUB_CMDLINE;
static const char key[] = "rd.qubes.hide_pci", item[] = "01:00.0";
static const char word[] = "nouveau.modeset=0";

typedef char *editor(const char *text, struct qg_err *err);

static char *add_word(const char *text, struct qg_err *err) {
    return qg_grub_add_word(text, strlen(text), variable, word, err);
}

static char *remove_word(const char *text, struct qg_err *err) {
    return qg_grub_remove_word(text, strlen(text), variable, word, err);
}

static char *add_first(const char *text, struct qg_err *err) {
    return qg_grub_add_item(text, strlen(text), variable, key, item, QG_CMDLINE_ALL, err);
}

static char *add_last(const char *text, struct qg_err *err) {
    return qg_grub_add_item(text, strlen(text), variable, key, item, QG_CMDLINE_LAST, err);
}

static char *remove_item(const char *text, struct qg_err *err) {
    return qg_grub_remove_item(text, strlen(text), variable, key, item, err);
}

/* NULL where the edit is refused. */
static char *edit(editor *editor, const char *text) {
    struct qg_err err = {0};
    char *out = editor(text, &err);
    must_explain(out ? 0 : -1, &err);
    if (!out)
        return NULL;
    QG_AUTO_STR char *again = editor(out, &err);
    MUST(again && strcmp(again, out) == 0);
    return out;
}

static char *value_of(const char *text) {
    struct qg_err err = {0};
    char *value = qg_grub_get(text, strlen(text), variable, NULL, &err);
    must_explain(value ? 0 : -1, &err);
    return value;
}

static bool has(const char *text, bool one_word, enum qg_cmdline_many many) {
    QG_AUTO_STR char *line = value_of(text);
    MUST(line != NULL);
    return one_word ? qg_cmdline_has_word(line, word) : qg_cmdline_has_item(line, key, item, many);
}

static json_t *words_of(const char *text) {
    QG_AUTO_STR char *line = value_of(text);
    json_t *words = json_array();
    char *rest = NULL;
    MUST(line && words);
    for (char *one = strtok_r(line, " \t\r\n", &rest); one; one = strtok_r(NULL, " \t\r\n", &rest))
        MUST(json_array_append_new(words, json_stringn_nocheck(one, strlen(one))) == 0);
    return words;
}

static void try_edit(const char *text, editor *add, editor *take, bool one_word,
                     enum qg_cmdline_many many) {
    QG_AUTO_STR char *added = edit(add, text);
    QG_AUTO_STR char *removed = edit(take, text);
    bool had = has(text, one_word, QG_CMDLINE_ALL);
    if (removed)
        MUST(!has(removed, one_word, QG_CMDLINE_ALL));
    if (removed && !had)
        MUST(strcmp(removed, text) == 0);
    if (!added)
        return;
    MUST(has(added, one_word, many));
    QG_AUTO_STR char *back = edit(take, added);
    if (had || !back)
        return;
    QG_AUTO(json) json_t *before = words_of(text), *after = words_of(back);
    MUST(json_equal(before, after));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct input input = {data, size};
    uint8_t kind = take_byte(&input);
    QG_AUTO_STR char *text = take_text(&input);
    QG_AUTO_STR char *line = value_of(text);
    if (!line)
        return 0;
    switch (kind) {
    case 'w':
        try_edit(text, add_word, remove_word, true, QG_CMDLINE_ALL);
        break;
    case 'a':
        try_edit(text, add_first, remove_item, false, QG_CMDLINE_ALL);
        break;
    case 'l':
        try_edit(text, add_last, remove_item, false, QG_CMDLINE_LAST);
        break;
    default:
        return -1; /* not worth keeping */
    }
    return 0;
}
