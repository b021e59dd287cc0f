/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The type Run: one Salt run, kept in __context__ between its states. */
#include "plan/run.h"
#include "py/convert.h"
#include "py/py.h"
#include "py/raise.h"
#include "py/state.h"
#include "salt/salt.h"

#include <errno.h>
#include <pthread.h>
#include <unistd.h>

struct run_object {
    PyObject ob_base; /* what PyObject_HEAD is: the macro ends without a semicolon of its own */
    struct qg_run *run;
    PyObject *log;         /* called as log(level, line); NULL: silence */
    PyThreadState *thread; /* of the call that is running without the interpreter's lock */
    pthread_mutex_t lock;  /* one call at a time: a run remembers what its states did */
    pid_t process;         /* whose the lock is */
    bool busy;             /* a call is running */
};

static struct run_object *run_of(PyObject *self) {
    return (struct run_object *)self;
}

/* Takes the interpreter's lock for a callback and gives it back. */
static void emit_log(void *data, enum qg_log_level level, const char *line) {
    struct run_object *self = data;
    PyEval_RestoreThread(self->thread);
    static const int levels[] = {[QG_LOG_DEBUG] = 10, [QG_LOG_INFO] = 20, [QG_LOG_WARNING] = 30};
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value,
                &traceback); /* a logging handler must not eat or meet an exception of ours */
    QG_AUTO(py) PyObject *done = PyObject_CallFunction(self->log, "is", levels[level], line);
    if (!done)
        PyErr_Clear();
    PyErr_Restore(type, value, traceback);
    qg_auto_py(&done);
    self->thread = PyEval_SaveThread();
}

/* True where a Python signal handler raised: the exception stays set for the call to return. */
static bool is_interrupted(void *data) {
    struct run_object *self = data;
    PyEval_RestoreThread(self->thread);
    bool raised = PyErr_CheckSignals() < 0;
    self->thread = PyEval_SaveThread();
    return raised;
}

static struct qg_module_state *state_of(PyObject *self) {
    PyObject *module = PyType_GetModule(Py_TYPE(self));
    return module ? qg_module_state_of(module) : NULL;
}

static int run_init(PyObject *object, PyObject *args, PyObject *kwargs) {
    struct run_object *self = run_of(object);
    static const char *const names[] = {"socket",  "qrexec", "root", "record_dir",
                                        "timeout", "log",    NULL};
    struct qg_run_config config = {0};
    int qrexec = 0;
    double timeout = 0;
    PyObject *log = NULL;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|zpzzdO", (char **)(uintptr_t)names,
                                     &config.socket, &qrexec, &config.root, &config.record_dir,
                                     &timeout, &log))
        return -1;
    if (!(timeout >= 0 && timeout <= 86400)) { /* nor a NaN */
        PyErr_SetString(PyExc_ValueError, "timeout: seconds from 0 to 86400 are expected");
        return -1;
    }
    if (self->run) {
        PyErr_SetString(PyExc_RuntimeError, "a Run is set up once: another thread may be in it");
        return -1;
    }
    config.qrexec = qrexec != 0;
    config.timeout_ms = (int64_t)(timeout * 1000);
    config.interrupted = is_interrupted;
    config.data = self;
    if (log && !Py_IsNone(log)) {
        PyObject *before = self->log;
        Py_INCREF(log);
        self->log = log;
        Py_XDECREF(before);
        config.log = (struct qg_log){emit_log, self};
    }
    struct qg_err err = {0};
    struct qg_run *run = qg_run_new(&config, &err);
    if (!run) {
        struct qg_module_state *state = state_of(object);
        if (state)
            qg_raise(state, &err);
        return -1;
    }
    self->run = run;
    return 0;
}

/* A lock that refuses the thread that has it already. */
static void make_lock(struct run_object *self) {
    pthread_mutexattr_t attributes;
    pthread_mutexattr_init(&attributes);
    pthread_mutexattr_settype(&attributes, PTHREAD_MUTEX_ERRORCHECK);
    pthread_mutex_init(&self->lock, &attributes);
    pthread_mutexattr_destroy(&attributes);
    self->process = getpid();
}

static PyObject *run_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    (void)args;
    (void)kwargs;
    allocfunc allocate = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
    PyObject *self = allocate(type, 0);
    if (self)
        make_lock(run_of(self));
    return self;
}

static int run_traverse(PyObject *self, visitproc visit, void *arg) {
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(run_of(self)->log);
    return 0;
}

static int run_clear(PyObject *self) {
    Py_CLEAR(run_of(self)->log);
    return 0;
}

static void run_dealloc(PyObject *self) {
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    run_clear(self);
    qg_run_free(run_of(self)->run);
    pthread_mutex_destroy(&run_of(self)->lock);
    freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);
    release(self);
    Py_DECREF(type);
}

/* After a fork the lock is a copy whose owner may not have come along. */
static int settle_after_fork(struct run_object *self, struct qg_err *err) {
    if (self->process == getpid())
        return 0;
    if (self->busy)
        return qg_err_set(err, QG_ERR_INVALID,
                          "this Run was in the middle of a call when the process forked: make "
                          "another one");
    make_lock(self);
    return 0;
}

/* The core's call, without the interpreter's lock. */
static json_t *call_unlocked(struct run_object *self, const char *function, const json_t *args,
                             bool test, struct qg_err *err) {
    if (settle_after_fork(self, err) < 0)
        return NULL;
    json_t *answer = NULL;
    PyThreadState *thread = PyEval_SaveThread();
    if (pthread_mutex_lock(&self->lock) == EDEADLK)
        qg_err_set(err, QG_ERR_INVALID,
                   "this Run is in the middle of a call of the same thread: make another one");
    else {
        self->thread = thread;
        self->busy = true;
        answer = qg_salt_call(self->run, function, args, test, err);
        self->busy = false;
        thread = self->thread;
        self->thread = NULL;
        pthread_mutex_unlock(&self->lock);
    }
    PyEval_RestoreThread(thread);
    return answer;
}

PyDoc_STRVAR(
    call_doc,
    "call($self, function, args, test=False, /)\n--\n\n"
    "Call a function of the core, e.g. ``qvm.prefs``, with a mapping of arguments.\n\n"
    "Returns a dict with ``result`` (True, None, False), ``comment``, ``changes`` and ``data``.\n"
    "Raises ValueError for a function that there is not, TypeError for arguments that have no\n"
    "place in a state, MemoryError, or what a signal handler raised.");

static PyObject *run_call(PyObject *object, PyObject *args) {
    struct run_object *self = run_of(object);
    const char *function;
    PyObject *arguments;
    int test = 0;
    if (!PyArg_ParseTuple(args, "sO|p:call", &function, &arguments, &test))
        return NULL;
    struct qg_module_state *state = state_of(object);
    if (!state)
        return NULL;
    if (!self->run) {
        PyErr_SetString(PyExc_ValueError, "a Run whose __init__ failed");
        return NULL;
    }
    QG_AUTO(json) json_t *value = qg_convert_in(arguments);
    if (!value)
        return NULL;
    struct qg_err err = {0};
    QG_AUTO(json) json_t *answer = call_unlocked(self, function, value, test != 0, &err);
    if (!answer || PyErr_Occurred())
        return qg_raise(state, &err);
    return qg_convert_out(answer);
}

PyDoc_STRVAR(reduce_doc, "__reduce__($self, /)\n--\n\nA copy in another process starts empty.");

static PyObject *run_reduce(PyObject *self, PyObject *unused) {
    (void)unused;
    return Py_BuildValue("O()", Py_TYPE(self));
}

static PyMethodDef run_methods[] = {
    {"call", run_call, METH_VARARGS, call_doc},
    {"__reduce__", run_reduce, METH_NOARGS, reduce_doc},
    {NULL, NULL, 0, NULL},
};

PyDoc_STRVAR(
    run_doc,
    "Run(socket=None, qrexec=False, root=None, record_dir=None, timeout=0, log=None)\n--\n\n"
    "One Salt run. Opens nothing until a function is called.\n\n"
    "socket: path of qubesd's socket, None for /run/qubesd.sock. qrexec: reach qubesd through\n"
    "qrexec-client-vm. root: folder below which files are looked up, None for /. record_dir: folder for the\n"
    "records of unfinished creations, None for none. timeout: seconds for one call of the Admin API, 0 for\n"
    "the default. log: called as log(level, line) with levels of the logging module.");

static PyType_Slot run_slots[] = {
    {Py_tp_doc, (void *)(uintptr_t)run_doc},
    {Py_tp_new, (void *)run_new},
    {Py_tp_init, (void *)run_init},
    {Py_tp_dealloc, (void *)run_dealloc},
    {Py_tp_traverse, (void *)run_traverse},
    {Py_tp_clear, (void *)run_clear},
    {Py_tp_methods, run_methods},
    {0, NULL},
};

static PyType_Spec run_spec = {
    .name = "saltext.qvm_gpu._core.Run",
    .basicsize = (int)sizeof(struct run_object),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .slots = run_slots,
};

PyObject *qg_run_type_new(PyObject *module) {
    return PyType_FromModuleAndSpec(module, &run_spec, NULL);
}
