/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Sizes of volumes as people write them. */
#ifndef QG_GPU_SIZE_H
#define QG_GPU_SIZE_H

#include "doc/value.h"

/* Bytes: a number, or a text of one with a unit behind it as qvm-volume takes them (20GiB and 20Gi
 * are binary, 20GB and 20G decimal). Anything else is QG_ERR_INVALID under the key. */
int qg_size_parse(const char *key, const json_t *value, int64_t *out, struct qg_err *err);

#endif
