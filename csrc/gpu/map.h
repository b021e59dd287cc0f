/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What the formula takes where nobody says anything else: the guide's map.jinja. */
#ifndef QG_GPU_MAP_H
#define QG_GPU_MAP_H

#include "doc/value.h"

/* {prefs, devices, paths}: the built-in defaults, then over, a mapping of the same shape (NULL:
 * nothing), merged key by key, lists replaced. Null says nothing. A part of another shape,
 * something else than a text where the default is one, and a key that is nearly a part are
 * QG_ERR_INVALID. New value; NULL on failure. */
json_t *qg_map_render(const json_t *over, struct qg_err *err) QG_MUST_CHECK;

#endif
