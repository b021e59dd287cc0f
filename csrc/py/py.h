/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Owned references that are dropped at the end of their scope. */
#ifndef QG_PY_PY_H
#define QG_PY_PY_H

#include "base/cleanup.h"

#include <Python.h>

static inline void qg_py_decref(PyObject *object) {
    Py_XDECREF(object);
}

QG_DEFINE_AUTO(py, PyObject, qg_py_decref)

#endif
