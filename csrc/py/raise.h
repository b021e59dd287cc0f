/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The only place where a failure of the core becomes an exception. */
#ifndef QG_PY_RAISE_H
#define QG_PY_RAISE_H

#include "base/err.h"
#include "py/state.h"

/* Sets MemoryError, ValueError (bad arguments), the exception a signal handler raised, or
 * CoreError. An exception that is set already stays. Returns NULL, to be returned. */
PyObject *qg_raise(const struct qg_module_state *state, const struct qg_err *err);

#endif
