/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Kernel command lines: the words of a booted one, and the editing of the variable in
 * /etc/default/grub that makes the next one. Pure text: nothing here opens a file.
 *
 * The file is read as the shell reads it: "..", '..', bare and joined values, backslashes,
 * comments, CRLF, `export`, `+=`, and values that take up their own earlier one
 * (NAME="$NAME more"). Other expansions stay as they are and are never edited. Assignments inside
 * conditions count as made. */
#ifndef QG_DOC_KERNEL_CMDLINE_H
#define QG_DOC_KERNEL_CMDLINE_H

#include "doc/value.h"

#include <stdbool.h>
#include <stddef.h>

#define QG_GRUB_FILE "/etc/default/grub"
#define QG_GRUB_CMDLINE "GRUB_CMDLINE_LINUX"

/* How several words `key=a,b` of one line count together. */
enum qg_cmdline_many {
    QG_CMDLINE_ALL,  /* every one adds its items (rd.driver.blacklist, modprobe.blacklist) */
    QG_CMDLINE_LAST, /* only the last one is read (rd.qubes.hide_pci) */
};

/* True where the line has exactly this word. */
bool qg_cmdline_has_word(const char *line, const char *word);

/* The items of the words `key=a,b`, in order; an empty list where there is none. Owned by the
 * caller; NULL on failure. */
json_t *qg_cmdline_items(const char *line, const char *key, enum qg_cmdline_many many,
                         struct qg_err *err) QG_MUST_CHECK;

/* True where item is one of qg_cmdline_items. */
bool qg_cmdline_has_item(const char *line, const char *key, const char *item,
                         enum qg_cmdline_many many);

/* What the variable is worth once the file was read to its end; *found (may be NULL) tells an empty
 * value from a variable that is never set. A quote that is never closed is QG_ERR_PARSE with its
 * line. Owned by the caller; NULL on failure. */
char *qg_grub_get(const char *text, size_t length, const char *variable, bool *found,
                  struct qg_err *err) QG_MUST_CHECK;

/* The edits. Each gives the whole new text, owned by the caller, equal to the old one where nothing
 * was to do; NULL on failure. What is added must be plain: no spaces, quotes, `$`, `\` or
 * backticks, and no comma in an item (QG_ERR_INVALID). Everything else in the file stays byte for
 * byte. */
char *qg_grub_add_word(const char *text, size_t length, const char *variable, const char *word,
                       struct qg_err *err) QG_MUST_CHECK;
char *qg_grub_remove_word(const char *text, size_t length, const char *variable, const char *word,
                          struct qg_err *err) QG_MUST_CHECK;

/* Extends the last word `key=...`, or adds the word `key=item`. */
char *qg_grub_add_item(const char *text, size_t length, const char *variable, const char *key,
                       const char *item, enum qg_cmdline_many many,
                       struct qg_err *err) QG_MUST_CHECK;

/* Takes the item out of every word `key=...`; a word without items goes away. */
char *qg_grub_remove_item(const char *text, size_t length, const char *variable, const char *key,
                          const char *item, struct qg_err *err) QG_MUST_CHECK;

#endif
