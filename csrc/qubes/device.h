/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Devices as people write them, found among those that there are. */
#ifndef QG_QUBES_DEVICE_H
#define QG_QUBES_DEVICE_H

#include "doc/value.h"

/* What somebody wrote: `01:00.0`, `0000:01:00.0`, `01_00.0`, `00_01.0-00_00.0`, each with
 * `:IDENTITY` or `:*` behind it, or `*:IDENTITY`. */
struct qg_device_ref {
    char port[80];      /* as in port_id; "" for any */
    char bdf[16];       /* `0000:01:00.0` where the text is one, else "" */
    char identity[120]; /* `0x10de:0x2504::p030000`; "" for any */
};

/* QG_ERR_INVALID names the text and the forms that are taken. */
int qg_device_ref_parse(const char *text, struct qg_device_ref *ref, struct qg_err *err);

/* `BB:DD.F` or `SSSS:BB:DD.F` (`_` for `:` too) as `SSSS:BB:DD.F` in lower case; false for anything
 * else. */
bool qg_bdf_normalise(const char *text, char out[16]);

/* The one device of the list (lines of Available) that ref means, borrowed; NULL where none is. A
 * device at the port with another identity, and an identity that several devices have, are
 * QG_ERR_INVALID: fails closed. */
const json_t *qg_device_find(const json_t *available, const struct qg_device_ref *ref,
                             struct qg_err *err);

/* True where both are the same device: backend and port equal, identity equal or `*` on one side.
 */
bool qg_device_same(const json_t *a, const json_t *b);

/* `SSSS:BB:DD.F` from _sbdf, or from a plain port on R4.2; false where neither says. */
bool qg_device_bdf(const json_t *device, char out[16]);

/* The options of an assignment (its keys that begin with `_`, without it) as a new mapping; NULL on
 * failure. */
json_t *qg_device_options(const json_t *assignment, struct qg_err *err) QG_MUST_CHECK;

/* The argument of Assign and Unassign: `dom0+PORT+0x10de+0x2504++p030000`, the identity left out
 * for `*`. Owned by the caller; NULL on failure. */
char *qg_device_argument(const json_t *device, struct qg_err *err) QG_MUST_CHECK;

/* The payload of Assign: `device_id='…' port_id='…' devclass='…' backend_domain='…' mode='…'
 * frontend_domain='…'` and the options with a `_` before them. options may be NULL. Owned by the
 * caller; NULL on failure. */
char *qg_device_payload(const json_t *device, const char *devclass, const char *mode,
                        const char *frontend, const json_t *options,
                        struct qg_err *err) QG_MUST_CHECK;

#endif
