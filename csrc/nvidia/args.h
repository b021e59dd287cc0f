/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What a user wrote, key by key; everything that cannot be right is QG_ERR_INVALID and says what
 * would be. */
#ifndef QG_NVIDIA_ARGS_H
#define QG_NVIDIA_ARGS_H

#include "doc/value.h"

#include <stdbool.h>
#include <stdint.h>

/* Fails for a key that is in none of the (NULL-terminated) known ones, naming the nearest. */
int qg_driver_args_check(const json_t *args, const char *const *known, struct qg_err *err);

/* The value of a key; a key that is not there, or null, leaves *out as it is. Texts are borrowed
 * from args. */
int qg_driver_args_bool(const json_t *args, const char *key, bool *out, struct qg_err *err);
int qg_driver_args_text(const json_t *args, const char *key, const char **out, struct qg_err *err);

/* An absolute path without .. in it. */
int qg_driver_args_path(const json_t *args, const char *key, const char **out, struct qg_err *err);

/* Seconds, as a number or text, more than 0; *out in milliseconds. */
int qg_driver_args_seconds(const json_t *args, const char *key, int64_t *out, struct qg_err *err);

/* Bytes: a number, or text with K, M or G behind it. */
int qg_driver_args_size(const json_t *args, const char *key, uint64_t *out, struct qg_err *err);

/* A list of names (or one name), of letters, digits and . + - _ : ~ @ only, none starting with a
 * dash: nothing that could be an option. A new list of the caller's, NULL where the key is not
 * there. */
int qg_driver_args_names(const json_t *args, const char *key, json_t **out, struct qg_err *err);

/* The index in the (NULL-terminated) words. */
int qg_driver_args_word(const json_t *args, const char *key, const char *const *words, int *out,
                        struct qg_err *err);

/* True where the text could be a package's, a repository's or a kernel's name. */
bool qg_driver_args_is_name(const char *text);

#endif
