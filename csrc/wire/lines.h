/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The line formats of the other replies, as values. */
#ifndef QG_WIRE_LINES_H
#define QG_WIRE_LINES_H

#include "base/buf.h"
#include "doc/value.h"

/* A list of names, one a line (feature.List, tag.List, volume.List, label.List…). New list or NULL.
 */
json_t *qg_lines_names(const char *data, size_t length, struct qg_err *err) QG_MUST_CHECK;

/* admin.vm.List: `name class=… state=… uuid=…` -> list of {name, class, state, uuid}. New list or
 * NULL. */
json_t *qg_lines_qubes(const char *data, size_t length, struct qg_err *err) QG_MUST_CHECK;

/* `key=value` a line (volume.Info, pool.Info). New mapping or NULL. */
json_t *qg_lines_pairs(const char *data, size_t length, struct qg_err *err) QG_MUST_CHECK;

/* `key=value` separated by spaces (CurrentState). New mapping or NULL. */
json_t *qg_lines_words(const char *data, size_t length, struct qg_err *err) QG_MUST_CHECK;

/* Device lines of Available, Assigned and Attached: `[BACKEND+]PORT:ID key='value' …`, a quote in a
 * value is
 * `\'`. -> list of mappings with the keys as they stand (port_id, device_id, backend_domain, _sbdf,
 * …). New list or NULL. */
json_t *qg_lines_devices(const char *data, size_t length, struct qg_err *err) QG_MUST_CHECK;

/* One pair of a device's line or payload, `key='value'`, to out with a blank before it unless out
 * is empty. A value that ends in a backslash cannot be said: QG_ERR_INVALID. */
int qg_lines_put_device_pair(struct qg_buf *out, const char *key, const char *value,
                             struct qg_err *err);

#endif
