/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Every Salt function of the core behind one door. */
#ifndef QG_SALT_SALT_H
#define QG_SALT_SALT_H

#include "plan/run.h"

/* Calls a function by its Salt name, e.g. `qvm.prefs`. The answer is {result: true/null/false,
 * comment, changes, data}; a failure of the function is result false, with what was changed until
 * then in changes. NULL only for what is no answer: out of memory, interrupted, or a function that
 * there is not (QG_ERR_INVALID). New value. */
json_t *qg_salt_call(struct qg_run *run, const char *function, const json_t *args, bool test,
                     struct qg_err *err) QG_MUST_CHECK;

/* The names of all functions, a new list; NULL on failure. */
json_t *qg_salt_functions(struct qg_err *err) QG_MUST_CHECK;

#endif
