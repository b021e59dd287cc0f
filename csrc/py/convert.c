/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "py/convert.h"

#include "py/py.h"

#include <math.h>

static json_t *convert_at(PyObject *object, int depth);

static json_t *or_memory_error(json_t *value) {
    if (!value)
        PyErr_NoMemory();
    return value;
}

static json_t *text_in(PyObject *object) {
    Py_ssize_t length;
    const char *text = PyUnicode_AsUTF8AndSize(object, &length);
    if (!text)
        return NULL; /* a lone surrogate: UnicodeEncodeError is a ValueError */
    if (memchr(text, '\0', (size_t)length)) {
        PyErr_SetString(PyExc_ValueError, "text with a NUL character");
        return NULL;
    }
    return or_memory_error(json_stringn_nocheck(text, (size_t)length));
}

static json_t *int_in(PyObject *object) {
    long long number = PyLong_AsLongLong(object);
    if (number == -1 && PyErr_Occurred()) {
        if (PyErr_ExceptionMatches(PyExc_OverflowError)) {
            PyErr_Clear();
            PyErr_SetString(PyExc_ValueError, "a number beyond 64 bits");
        }
        return NULL;
    }
    return or_memory_error(json_integer(number));
}

static json_t *float_in(PyObject *object) {
    double number = PyFloat_AsDouble(object);
    if (number == -1.0 && PyErr_Occurred())
        return NULL;
    if (!isfinite(number)) {
        PyErr_SetString(PyExc_ValueError, "a number that is not finite");
        return NULL;
    }
    return or_memory_error(json_real(number));
}

static json_t *list_in(PyObject *object, int depth) {
    QG_AUTO(json) json_t *out = or_memory_error(json_array());
    if (!out)
        return NULL;
    QG_AUTO(py)
    PyObject *items = PySequence_List(object); /* a copy: converting may run Python code */
    if (!items)
        return NULL;
    for (Py_ssize_t i = 0; i < PyList_Size(items); i++) {
        json_t *value = convert_at(PyList_GetItem(items, i), depth + 1);
        if (!value)
            return NULL;
        if (json_array_append_new(out, value) < 0)
            return or_memory_error(NULL);
    }
    return QG_STEAL(out);
}

/* Puts the key in front of what is wrong with its value; the body as a whole has no key of its own.
 */
static void name_key(const char *key, int depth) {
    PyObject *kind = PyErr_ExceptionMatches(PyExc_ValueError)  ? PyExc_ValueError
                     : PyErr_ExceptionMatches(PyExc_TypeError) ? PyExc_TypeError
                                                               : NULL;
    if (!kind || (depth == 0 && strcmp(key, "body") == 0))
        return;
    QG_AUTO(py) PyObject *type = NULL;
    QG_AUTO(py) PyObject *value = NULL;
    QG_AUTO(py) PyObject *traceback = NULL;
    PyErr_Fetch(&type, &value, &traceback);
    PyErr_Format(kind, "%s: %S", key, value);
}

/* Sets one pair of an items() list. */
static int pair_in(json_t *out, PyObject *pair, int depth) {
    if (!PyTuple_Check(pair) || PyTuple_Size(pair) != 2) {
        PyErr_SetString(PyExc_TypeError, "items() of a mapping must give pairs");
        return -1;
    }
    QG_AUTO(py) PyObject *key = PyObject_Str(PyTuple_GetItem(pair, 0));
    if (!key)
        return -1;
    QG_AUTO(json) json_t *name = text_in(key);
    json_t *value = name ? convert_at(PyTuple_GetItem(pair, 1), depth + 1) : NULL;
    if (!value) {
        if (name)
            name_key(json_string_value(name), depth);
        return -1;
    }
    if (json_object_set_new_nocheck(out, json_string_value(name), value) < 0) {
        PyErr_NoMemory();
        return -1;
    }
    return 0;
}

static json_t *mapping_in(PyObject *object, int depth) {
    QG_AUTO(json) json_t *out = or_memory_error(json_object());
    if (!out)
        return NULL; /* no Python code may run with an exception set */
    QG_AUTO(py) PyObject *view = PyObject_CallMethod(object, "items", NULL);
    QG_AUTO(py) PyObject *items = view ? PySequence_List(view) : NULL;
    if (!items)
        return NULL;
    for (Py_ssize_t i = 0; i < PyList_Size(items); i++)
        if (pair_in(out, PyList_GetItem(items, i), depth) < 0)
            return NULL;
    return QG_STEAL(out);
}

/* Whether it has items; -1 where that is not known, with an exception set. */
static int is_mapping(PyObject *object) {
    if (PyDict_Check(object) || !PyMapping_Check(object))
        return PyDict_Check(object);
    QG_AUTO(py) PyObject *items = PyObject_GetAttrString(object, "items");
    if (items)
        return 1;
    if (!PyErr_ExceptionMatches(PyExc_AttributeError))
        return -1;
    PyErr_Clear();
    return 0;
}

static json_t *convert_at(PyObject *object, int depth) {
    if (depth > QG_VALUE_DEPTH_MAX) {
        PyErr_Format(PyExc_RecursionError, "nested deeper than %d", QG_VALUE_DEPTH_MAX);
        return NULL;
    }
    if (Py_IsNone(object))
        return json_null();
    if (PyBool_Check(object))
        return json_boolean(Py_IsTrue(object));
    if (PyUnicode_Check(object))
        return text_in(object);
    if (PyLong_Check(object))
        return int_in(object);
    if (PyFloat_Check(object))
        return float_in(object);
    if (PyList_Check(object) || PyTuple_Check(object))
        return list_in(object, depth);
    int mapping = is_mapping(object);
    if (mapping)
        return mapping < 0 ? NULL : mapping_in(object, depth);
    QG_AUTO(py) PyObject *name = PyObject_GetAttrString((PyObject *)Py_TYPE(object), "__name__");
    if (name)
        PyErr_Format(PyExc_TypeError, "a value of type %U has no place in a state", name);
    return NULL;
}

json_t *qg_convert_in(PyObject *object) {
    return convert_at(object, 0);
}

static PyObject *list_out(const json_t *value) {
    QG_AUTO(py) PyObject *list = PyList_New(0);
    for (size_t i = 0; list && i < json_array_size(value); i++) {
        QG_AUTO(py) PyObject *item = qg_convert_out(json_array_get(value, i));
        if (!item || PyList_Append(list, item) < 0)
            return NULL;
    }
    return QG_STEAL(list);
}

static PyObject *mapping_out(const json_t *value) {
    QG_AUTO(py) PyObject *dict = PyDict_New();
    if (!dict)
        return NULL;
    const char *key;
    json_t *item;
    json_object_foreach(qg_value_mutable(value), key, item) {
        QG_AUTO(py) PyObject *name = PyUnicode_FromString(key);
        QG_AUTO(py) PyObject *object = name ? qg_convert_out(item) : NULL;
        if (!object || PyDict_SetItem(dict, name, object) < 0)
            return NULL;
    }
    return QG_STEAL(dict);
}

PyObject *qg_convert_out(const json_t *value) {
    switch (json_typeof(value)) {
    case JSON_OBJECT:
        return mapping_out(value);
    case JSON_ARRAY:
        return list_out(value);
    case JSON_STRING:
        return PyUnicode_FromStringAndSize(json_string_value(value),
                                           (Py_ssize_t)json_string_length(value));
    case JSON_INTEGER:
        return PyLong_FromLongLong(json_integer_value(value));
    case JSON_REAL:
        return PyFloat_FromDouble(json_real_value(value));
    case JSON_TRUE:
        return PyBool_FromLong(1);
    case JSON_FALSE:
        return PyBool_FromLong(0);
    case JSON_NULL:
        break;
    }
    Py_RETURN_NONE;
}
