/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "py/raise.h"

PyObject *qg_raise(const struct qg_module_state *state, const struct qg_err *err) {
    if (PyErr_Occurred())
        return NULL;
    if (err->kind == QG_ERR_OOM)
        return PyErr_NoMemory();
    char sentence[1400];
    qg_err_describe(err, sentence, sizeof(sentence));
    PyErr_SetString(err->kind == QG_ERR_INVALID ? PyExc_ValueError : state->error, sentence);
    return NULL;
}
