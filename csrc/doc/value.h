/* SPDX-License-Identifier: GPL-3.0-or-later */
/* jansson values as the one model of structured data: what Salt hands over, what goes back. */
#ifndef QG_DOC_VALUE_H
#define QG_DOC_VALUE_H

#include "base/err.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

QG_DEFINE_AUTO(json, json_t, json_decref)

/* Nesting deeper than this is refused everywhere: nobody writes such pillar. */
enum { QG_VALUE_DEPTH_MAX = 64 };

/* For jansson's iteration and reference counts, which take a mutable value and leave its content as
 * it is. */
static inline json_t *qg_value_mutable(const json_t *value) {
    return (json_t *)(uintptr_t)value;
}

/* New values, NULL only when out of memory (err says so). Text must be UTF-8: anything else is
 * QG_ERR_INVALID. */
json_t *qg_value_object(struct qg_err *err) QG_MUST_CHECK;
json_t *qg_value_array(struct qg_err *err) QG_MUST_CHECK;
json_t *qg_value_text(const char *text, struct qg_err *err) QG_MUST_CHECK;
json_t *qg_value_int(long long number, struct qg_err *err) QG_MUST_CHECK;
json_t *qg_value_format(struct qg_err *err, const char *format, ...) QG_PRINTF(2, 3) QG_MUST_CHECK;

/* As qg_value_text, of any text: one line, cleaned of what a terminal must not see. */
json_t *qg_value_line(const char *text, struct qg_err *err) QG_MUST_CHECK;

/* Set a key or append; value is consumed also on failure, a NULL value (a constructor that failed)
 * is a failure. 0/-1. */
int qg_value_set_take(json_t *object, const char *key, json_t *value, struct qg_err *err);
int qg_value_append_take(json_t *array, json_t *value, struct qg_err *err);

/* Sets root[path[0]][path[1]]… , making objects on the way; path ends with NULL. value is consumed.
 */
int qg_value_set_path_take(json_t *root, const char *const *path, json_t *value,
                           struct qg_err *err);

/* The text of a string value or NULL; borrowed from value. */
const char *qg_value_get_text(const json_t *object, const char *key);

/* True for null, "", [] and {}, and for a value that is not there (NULL). */
bool qg_value_is_empty(const json_t *value);

/* What Python's str() makes of a scalar (True, 500, 1.5), "" for null; an object or array is
 * QG_ERR_INVALID. Owned by the caller; NULL on failure. */
char *qg_value_to_text(const json_t *value, struct qg_err *err) QG_MUST_CHECK;

/* A word for the value's type as YAML users call it: mapping, list, text, number, bool, null.
 * Static. */
const char *qg_value_type_name(const json_t *value);

/* The value with its texts and keys as qg_text_clean_data has them: itself where they are so
 * already (nearly always), else a copy. New reference; NULL when out of memory. */
json_t *qg_value_clean(const json_t *value, struct qg_err *err) QG_MUST_CHECK;

/* Deep copy of a value; NULL where value is NULL or memory runs out. (jansson's own leaves out what
 * it could not copy.) */
json_t *qg_value_copy(const json_t *value, struct qg_err *err) QG_MUST_CHECK;

/* Deep copy of base with over merged in: mappings key by key, everything else replaced. Either may
 * be NULL (nothing). Owned by the caller; NULL on failure. */
json_t *qg_value_merge(const json_t *base, const json_t *over, struct qg_err *err) QG_MUST_CHECK;

/* Compact JSON text of any value, for messages and logs. Owned by the caller; NULL on failure. */
char *qg_value_dump(const json_t *value, struct qg_err *err) QG_MUST_CHECK;

#endif
