/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What files and programs of a distribution say, read from text. Pure: no I/O. */
#ifndef QG_NVIDIA_PARSE_H
#define QG_NVIDIA_PARSE_H

#include "base/buf.h"
#include "doc/value.h"

#include <stdbool.h>
#include <stddef.h>

enum qg_family {
    QG_FAMILY_OTHER,
    QG_FAMILY_FEDORA,
    QG_FAMILY_DEBIAN,
};

/* /etc/os-release, as far as we ask. */
struct qg_release {
    enum qg_family family;
    char id[32];
    char codename[32];
    char pretty[96]; /* for people */
    int number;      /* 40, 12; 0 where it says none */
};

void qg_parse_os_release(const char *text, struct qg_release *out);

/* As rpm and dpkg compare versions: runs of digits by value, the rest by bytes. <0, 0, >0. */
int qg_version_compare(const char *a, const char *b);

/* The kernel release in /proc/version; empty where it is in no known form. */
void qg_parse_proc_version(const char *text, char *out, size_t size);

/* The driver's version in /proc/driver/nvidia/version. */
void qg_parse_nvrm_version(const char *text, char *out, size_t size);

/* A package by a name that may end in this computer's own architecture (NAME:amd64, NAME.x86_64):
 * the lists below have it without; another architecture's is there with its ending only. Borrowed;
 * NULL where it is not there. */
const json_t *qg_parse_find_package(const json_t *installed, const char *name);

/* /var/lib/dpkg/status: installed gets name > version, broken name > state (half-configured,
 * unpacked, ...), held the names on hold. Objects of the caller's, each may be NULL. */
int qg_parse_dpkg_status(const char *text, json_t *installed, json_t *broken, json_t *held,
                         struct qg_err *err);

/* The lines that we ask rpm for: NAME.ARCH VERSION. Others (not installed) are left out. */
int qg_parse_rpm_list(const char *text, json_t *installed, struct qg_err *err);

/* A .repo file: repos gets id > enabled. */
int qg_parse_repo_file(const char *text, json_t *repos, struct qg_err *err);

/* A file of repos.override.d: what it says about ids (or patterns) that repos has. */
int qg_parse_repo_override(const char *text, json_t *repos, struct qg_err *err);

/* The ids in `dnf repolist` (columns) or `dnf repolist --json`: repos gets id > enabled. */
int qg_parse_repolist(const char *text, json_t *repos, struct qg_err *err);

/* The last value of key=value in a file of such lines, e.g. saved_entry in grubenv; false where
 * there is none. */
bool qg_parse_setting(const char *text, const char *key, char *out, size_t size);

/* The lines that say why a build failed: compiler and make errors, else the last ones; at most max
 * of them, each indented by two blanks and cut to a screen's width. */
int qg_parse_build_errors(const char *text, unsigned max, struct qg_buf *out, struct qg_err *err);

/* The lines in a package manager's output that say why it failed, in the same form. */
int qg_parse_manager_errors(const char *text, unsigned max, struct qg_buf *out, struct qg_err *err);

/* True where the output shows that servers could not be reached, and none that could. */
bool qg_parse_is_offline(const char *text);

/* The value of a field in a kernel module's .modinfo section. */
bool qg_parse_modinfo(const char *section, size_t length, const char *field, char *out,
                      size_t size);

#endif
