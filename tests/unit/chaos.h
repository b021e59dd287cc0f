/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A failing allocator: every allocation of the code under test can be made to fail in turn. */
#ifndef QG_TEST_CHAOS_H
#define QG_TEST_CHAOS_H

#include "base/err.h"

#include <stdbool.h>

/* Makes the nth allocation from now fail (1: the next), and all after it; 0 stops failing. */
void qg_chaos_fail_from(unsigned nth);

/* True where an allocation was made to fail since qg_chaos_fail_from. */
bool qg_chaos_has_failed(void);

/* Calls run with the first, then the second ... allocation failing, until it needs no more. run
 * gets data, returns 0 or -1 with err set, frees all that it made, and calls nothing of check's,
 * which allocates too. Where an allocation failed, run must say QG_ERR_OOM, unless it may do
 * without (partial). */
void qg_chaos_each(int (*run)(void *data, struct qg_err *err), void *data, bool partial);

#endif
