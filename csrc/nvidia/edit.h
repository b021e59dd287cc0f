/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Edits of configuration files: text in, text out, nothing else. Everything that an edit does not
 * mean stays byte for byte; an edit of its own result changes nothing. */
#ifndef QG_NVIDIA_EDIT_H
#define QG_NVIDIA_EDIT_H

#include "base/buf.h"

#include <stdbool.h>
#include <stddef.h>

enum { QG_APT_SUITES = 3 }; /* the release's own, -updates, -security */

/* Which of apt's entries are meant, and what they are to offer. Only those with `main` can be. */
struct qg_apt_wanted {
    const char *codename;          /* e.g. bookworm */
    const char *const *components; /* NULL-terminated */
    /* For each suite. 0: with the path and, if any, the keyring of Debian's archive; 1: also with
     * a key of its own, or elsewhere with more than main; 2: any. Never with another keyring. */
    int doubt[QG_APT_SUITES];
};

/* Adds the missing components to Debian's own entries of a one-line file or a deb822 file. matched
 * (of QG_APT_SUITES) grows by the number of times that each suite is meant, changed or not. */
int qg_edit_apt_list(const char *text, const struct qg_apt_wanted *wanted, struct qg_buf *out,
                     size_t *matched, struct qg_err *err);
int qg_edit_apt_deb822(const char *text, const struct qg_apt_wanted *wanted, struct qg_buf *out,
                       size_t *matched, struct qg_err *err);

/* Adds `key=item` to every line of kernel options in a boot loader entry (/boot/loader/entries). */
int qg_edit_boot_entry_add(const char *text, const char *key, const char *item, struct qg_buf *out,
                           struct qg_err *err);

/* Takes the item out again. */
int qg_edit_boot_entry_remove(const char *text, const char *key, const char *item,
                              struct qg_buf *out, struct qg_err *err);

/* Adds a package to the excludes in [main] of dnf.conf, or takes it out. */
int qg_edit_dnf_exclude(const char *text, const char *package, struct qg_buf *out,
                        struct qg_err *err);
int qg_edit_dnf_include(const char *text, const char *package, struct qg_buf *out,
                        struct qg_err *err);

#endif
