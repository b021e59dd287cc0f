/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What stands under an action: keys and words, in every shape that YAML gives them. */
#ifndef QG_QVM_BODY_H
#define QG_QVM_BODY_H

#include "doc/value.h"

/* `- set: [...]` items are keys, bare items are words (positional arguments). */
struct qg_body {
    json_t *keys;  /* mapping */
    json_t *words; /* list, NULL where there are none */
    /* names of keys that somebody has looked at: what is left over is named in the comment */
    const char **used;
    size_t used_count, used_size;
};

void qg_body_fini(struct qg_body *body);
QG_DEFINE_AUTO_FINI(body, struct qg_body, qg_body_fini)

/* null, "" and [] are empty, a mapping is keys, a list holds mappings (keys, the last of equal ones
 * wins) and scalars (words), a scalar is one word. Keys that Salt itself adds (`__id__`, `name`, …)
 * are left out. */
int qg_body_init(struct qg_body *body, const json_t *value, struct qg_err *err);

/* The value of a key, NULL where it is not there; borrowed. `-` and `_` are the same in key and
 * body. Both spellings with different values are QG_ERR_INVALID (*err), NULL is returned. */
const json_t *qg_body_get(struct qg_body *body, const char *key, struct qg_err *err);

/* The same to *found, so that a key that is not there and a failure are not mixed up. 0/-1. */
int qg_body_find(struct qg_body *body, const char *key, const json_t **found, struct qg_err *err);

/* The text of a scalar key, owned by the caller; *out NULL where it is not there. 0/-1. */
int qg_body_take_text(struct qg_body *body, const char *key, char **out, struct qg_err *err);

/* The same: the text of a scalar key, owned by the caller; NULL where it is not there or (err) not
 * a scalar.
 */
char *qg_body_text(struct qg_body *body, const char *key, struct qg_err *err) QG_MUST_CHECK;

/* A bool key: true/false, or the words qubesd takes. fallback where it is not there. 0/-1. */
int qg_body_bool(struct qg_body *body, const char *key, bool fallback, bool *out,
                 struct qg_err *err);

/* The same of a value; *out stays as it is where there is none or null. */
int qg_body_bool_of(const char *key, const json_t *value, bool *out, struct qg_err *err);

/* A key with a whole number (text of one too), fallback where it is not there. 0/-1. */
int qg_body_int(struct qg_body *body, const char *key, long long fallback, long long *out,
                struct qg_err *err);

/* The names under a key as a new list of texts: a scalar is one, null and [] are none, a number is
 * its text. A mapping, or an item that is no scalar or is empty, is QG_ERR_INVALID naming the key.
 * NULL on failure. */
json_t *qg_body_names(struct qg_body *body, const char *key, struct qg_err *err) QG_MUST_CHECK;

/* The key's pairs as a new mapping: a mapping, or a list of mappings and of `key=value` texts. NULL
 * on failure. */
json_t *qg_body_pairs(struct qg_body *body, const char *key, struct qg_err *err) QG_MUST_CHECK;

/* True for two spellings of one word: `-` and `_` are the same. */
bool qg_body_same_key(const char *a, const char *b);

/* True where `flag` stands in the list (or is the text) under `flags`, or is a key of its own that
 * is not false. */
int qg_body_flag(struct qg_body *body, const char *flag, bool *out, struct qg_err *err);

/* Marks a key as looked at; its name is borrowed for as long as the body lives. */
int qg_body_use(struct qg_body *body, const char *key, struct qg_err *err);

/* The keys that nobody looked at, a new list of texts as they were written; NULL on failure. */
json_t *qg_body_unused(const struct qg_body *body, struct qg_err *err) QG_MUST_CHECK;

#endif
