/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Python objects to values and back; nothing else of the binding knows either side. */
#ifndef QG_PY_CONVERT_H
#define QG_PY_CONVERT_H

#include "doc/value.h"

#include <Python.h>

/* A dict, list, tuple, str, bool, int, float or None (and what they hold) as a new value. Other
 * mappings are taken by their items; keys become text as str() has it. NULL with an exception set:
 * TypeError for another type, ValueError for a number or text that has no place in JSON,
 * RecursionError when nested deeper than QG_VALUE_DEPTH_MAX. */
json_t *qg_convert_in(PyObject *object);

/* A new reference to the Python object for a value; NULL with an exception set. */
PyObject *qg_convert_out(const json_t *value);

#endif
