/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The module's state: no global object anywhere, so every interpreter has its own. */
#ifndef QG_PY_STATE_H
#define QG_PY_STATE_H

#include <Python.h>

struct qg_module_state {
    PyObject *error;    /* saltext.qvm_gpu.CoreError */
    PyObject *run_type; /* Run */
};

/* The state behind a module; borrowed. */
static inline struct qg_module_state *qg_module_state_of(PyObject *module) {
    return PyModule_GetState(module);
}

/* Makes the type Run for this module. New reference; NULL with an exception set. */
PyObject *qg_run_type_new(PyObject *module);

#endif
