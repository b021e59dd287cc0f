/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Which packages there are and which should be. */
#ifndef QG_NVIDIA_PACKAGES_H
#define QG_NVIDIA_PACKAGES_H

#include "nvidia/facts.h"

/* Fills facts->installed and the like: dpkg's status file, or one query of rpm unless the record
 * proves what it would answer. */
int qg_packages_read(struct qg_host *host, const struct qg_driver_want *want,
                     struct qg_driver_facts *facts, struct qg_err *err);

/* What rpm is asked for, so that qg_parse_rpm_list can read it. */
extern const char qg_rpm_format[];

/* Every package and its version (its state where it is half-installed); *known false where that
 * cannot be asked. New mapping or NULL. */
json_t *qg_packages_all(struct qg_host *host, enum qg_family family, bool *known,
                        struct qg_err *err) QG_MUST_CHECK;

#endif
