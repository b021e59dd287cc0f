/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What may stand in a request: names as qubesd takes them, checked before anything is sent. */
#ifndef QG_WIRE_NAME_H
#define QG_WIRE_NAME_H

#include "base/err.h"

#include <stdbool.h>

enum { QG_QUBE_NAME_MAX = 31 }; /* qubesd: "VM name must be shorter than 32 characters" */

/* A qube's name: letters, digits, `_ - .`, a letter first, at most QG_QUBE_NAME_MAX, none of the
 * words that qubesd keeps for itself (none, default, Domain-0). 0, or -1 with QG_ERR_INVALID that
 * says what is wrong. */
int qg_name_check_qube(const char *name, struct qg_err *err);

/* A destination: a qube's name or `uuid:…`. */
int qg_name_check_destination(const char *name, struct qg_err *err);

/* The argument behind `+`: what qrexec lets through ([A-Za-z0-9_.+-]), NULL and "" too. what names
 * it in the error, e.g. `feature`. */
int qg_name_check_argument(const char *what, const char *argument, struct qg_err *err);

#endif
