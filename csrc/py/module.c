/* SPDX-License-Identifier: GPL-3.0-or-later */
/* saltext.qvm_gpu._core, which also travels as _qvm_gpu_core.abi3.so and answers to both names. */
#include "py/convert.h"
#include "py/py.h"
#include "py/raise.h"
#include "py/state.h"
#include "salt/salt.h"

PyDoc_STRVAR(functions_doc,
             "functions($module, /)\n--\n\nThe names of all functions that Run.call takes.");

static PyObject *module_functions(PyObject *module, PyObject *unused) {
    (void)unused;
    struct qg_err err = {0};
    QG_AUTO(json) json_t *names = qg_salt_functions(&err);
    return names ? qg_convert_out(names) : qg_raise(qg_module_state_of(module), &err);
}

static PyMethodDef module_methods[] = {
    {"functions", module_functions, METH_NOARGS, functions_doc},
    {NULL, NULL, 0, NULL},
};

static int module_exec(PyObject *module) {
    struct qg_module_state *state = qg_module_state_of(module);
    state->error = PyErr_NewExceptionWithDoc(
        "saltext.qvm_gpu._core.CoreError", "The core could not do what it was asked.", NULL, NULL);
    state->run_type = qg_run_type_new(module);
    if (!state->error || !state->run_type)
        return -1;
    return PyModule_AddObjectRef(module, "CoreError", state->error) < 0 ||
                   PyModule_AddObjectRef(module, "Run", state->run_type) < 0
               ? -1
               : 0;
}

static int module_traverse(PyObject *module, visitproc visit, void *arg) {
    struct qg_module_state *state = qg_module_state_of(module);
    Py_VISIT(state->error);
    Py_VISIT(state->run_type);
    return 0;
}

static int module_clear(PyObject *module) {
    struct qg_module_state *state = qg_module_state_of(module);
    Py_CLEAR(state->error);
    Py_CLEAR(state->run_type);
    return 0;
}

static void module_free(void *module) {
    module_clear(module);
}

static PyModuleDef_Slot module_slots[] = {
    {Py_mod_exec, (void *)module_exec},
    {0, NULL},
};

PyDoc_STRVAR(module_doc,
             "The C core of Salt for GPU qubes. Salt functions call it through their modules.");

static struct PyModuleDef module_def = {
    PyModuleDef_HEAD_INIT,         .m_name = "_core",
    .m_doc = module_doc,           .m_size = sizeof(struct qg_module_state),
    .m_methods = module_methods,   .m_slots = module_slots,
    .m_traverse = module_traverse, .m_clear = module_clear,
    .m_free = module_free,
};

PyMODINIT_FUNC PyInit__core(void);
PyMODINIT_FUNC PyInit__qvm_gpu_core(void);

PyMODINIT_FUNC PyInit__core(void) {
    return PyModuleDef_Init(&module_def);
}

PyMODINIT_FUNC PyInit__qvm_gpu_core(void) {
    return PyModuleDef_Init(&module_def);
}
