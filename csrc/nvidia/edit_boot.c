/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "nvidia/edit.h"
#include "nvidia/lines.h"

#include <string.h>

static const char blanks[] = " \t\r";

static bool is_options(struct qg_span line, struct qg_span *value) {
    static const char key[] = "options";
    size_t length = strlen(key);
    if (!qg_span_starts(line, key) || line.length <= length ||
        (line.at[length] != ' ' && line.at[length] != '\t'))
        return false;
    *value = (struct qg_span){.at = line.at + length, .length = line.length - length};
    return true;
}

/* The items behind `key=` in a word; false where the word is another. */
static bool items_of(struct qg_span word, const char *key, struct qg_span *items) {
    size_t length = strlen(key);
    if (word.length <= length || memcmp(word.at, key, length) != 0 || word.at[length] != '=')
        return false;
    *items = (struct qg_span){.at = word.at + length + 1, .length = word.length - length - 1};
    return true;
}

static bool has_item(struct qg_span value, const char *key, const char *item) {
    struct qg_span word, items;
    while (qg_word_next(&value, blanks, &word)) {
        if (items_of(word, key, &items) && qg_span_has_word(items, ",", item))
            return true;
    }
    return false;
}

int qg_edit_boot_entry_add(const char *text, const char *key, const char *item, struct qg_buf *out,
                           struct qg_err *err) {
    const char *rest = text, *copied = text;
    struct qg_span line, value;
    while (qg_line_next(&rest, &line)) {
        if (!is_options(line, &value) || has_item(value, key, item))
            continue;
        struct qg_span trimmed = qg_span_trim(value);
        const char *end = trimmed.at + trimmed.length;
        if (qg_buf_add_range(out, copied, end, err) < 0 ||
            qg_buf_printf(out, err, "%s%s=%s", trimmed.length ? " " : "", key, item) < 0)
            return -1;
        copied = end;
    }
    return qg_buf_puts(out, copied, err);
}

/* Copies a word's items but this one; a word that is left without any goes, with the blank that
 * sets it apart from others. */
static int copy_items(struct qg_span word, struct qg_span items, const char *item, bool only_word,
                      struct qg_buf *out, struct qg_err *err) {
    struct qg_span one;
    bool any = false;
    struct qg_span rest = items;
    while (qg_word_next(&rest, ",", &one)) {
        if (qg_span_is(one, item))
            continue;
        if (!any && qg_buf_add_range(out, word.at, items.at, err) < 0)
            return -1;
        if ((any && qg_buf_puts(out, ",", err) < 0) || qg_buf_add(out, one.at, one.length, err) < 0)
            return -1;
        any = true;
    }
    if (!any && !only_word && out->length && out->data[out->length - 1] == ' ')
        out->data[--out->length] = '\0';
    return 0;
}

int qg_edit_boot_entry_remove(const char *text, const char *key, const char *item,
                              struct qg_buf *out, struct qg_err *err) {
    const char *rest = text, *copied = text;
    struct qg_span line, value, word, items;
    while (qg_line_next(&rest, &line)) {
        if (!is_options(line, &value))
            continue;
        size_t length = qg_span_trim(value).length;
        while (qg_word_next(&value, blanks, &word)) {
            if (!items_of(word, key, &items) || !qg_span_has_word(items, ",", item))
                continue;
            if (qg_buf_add_range(out, copied, word.at, err) < 0 ||
                copy_items(word, items, item, word.length == length, out, err) < 0)
                return -1;
            copied = word.at + word.length;
        }
    }
    return qg_buf_puts(out, copied, err);
}
