/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What we did in this qube, kept in it: what nvidia.driver_removed undoes, and what proves later
 * that nothing has changed since. Everything is on record before it is done. */
#ifndef QG_NVIDIA_RECORD_H
#define QG_NVIDIA_RECORD_H

#include "doc/value.h"
#include "host/host.h"

#define QG_RECORD_PATH "/var/lib/qvm-gpu/nvidia.json"
#define QG_RECORD_BACKUPS "/var/lib/qvm-gpu/backup"

/* The record, a mapping:
 *   files: path > {backup: path or null, sum: of what we wrote or null where we removed it}
 *   repositories, packages, removed: lists of names that we enabled, added, took away
 *   services: name > whether it started at boot before us
 *   before, since: package > version when an unfinished transaction began, and when that was (ns)
 *   entries: path > content of the boot loader's entries before our first change
 *   tmp: bytes that /tmp had before it was made larger
 *   initramfs, mkconfig, rebuild: true while that has still to be done
 *   boot: the boot during which we last changed something, or first asked for a restart
 *   proof: {installed: package > version, files: path > time of change}
 * An empty mapping where there is none; a damaged one is an error. New; NULL on failure. */
json_t *qg_record_load(struct qg_host *host, struct qg_err *err) QG_MUST_CHECK;

/* Writes it whole. */
int qg_record_save(struct qg_host *host, const json_t *record, struct qg_err *err);

/* Removes it and the backups. */
int qg_record_drop(struct qg_host *host, struct qg_err *err);

/* Adds a name to one of the lists, once. */
int qg_record_add(json_t *record, const char *list, const char *name, struct qg_err *err);

/* The path that a file's backup is kept at; owned by the caller, NULL on oom. */
char *qg_record_backup_path(const char *path, struct qg_err *err) QG_MUST_CHECK;

/* A checksum to recognise our own writing by; no protection against malice. Text of 16 digits. */
void qg_record_sum(const char *content, size_t length, char out[17]);

#endif
