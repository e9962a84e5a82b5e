/* The library as a module of Python: a call with as little around it as one step of a few neurons is worth. */
#if defined(__has_include)
#if !__has_include(<Python.h>)
#define SNN_NO_PYTHON
#endif
#endif

#if defined(SNN_NO_PYTHON)
/* Nothing to import: the kernels are called through ctypes, and steps one by one are PyTorch's. */
void *PyInit__c(void) { return 0; }
#else
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdint.h>
#include <string.h>

#define MOST 1024         /* tensors of a call */
#define WORTHWHILE 131072 /* bytes of a tensor, over all steps, from which on other threads may run meanwhile */

typedef int (*Kernel)(const int64_t *sizes, void *const *data);
typedef int (*Recurrent)(const int64_t *sizes, void *const *data, const int64_t *groups, void *const *synapses);

/* Addresses come from `Tensor.data_ptr()` of tensors that were checked; see backends/c/prepared.py, kernels/onestep.py. */
static PyObject *call(PyObject *self, PyObject *const *given, Py_ssize_t num) {
    void *all[MOST];
    (void)self;
    if (num < 5 || num - 5 > MOST) {
        PyErr_SetString(PyExc_ValueError, "call: too few or too many arguments");
        return NULL;
    }
    void *const kernel = PyLong_AsVoidPtr(given[0]);
    const int64_t *const sizes = PyLong_AsVoidPtr(given[1]), *const groups = PyLong_AsVoidPtr(given[2]);
    const Py_ssize_t bytes = PyLong_AsSsize_t(given[3]), copies = PyLong_AsSsize_t(given[4]);
    for (Py_ssize_t k = 5; k < num; k++) all[k - 5] = PyLong_AsVoidPtr(given[k]);
    if (PyErr_Occurred()) return NULL;
    const Py_ssize_t data = copies < 0 || copies > MOST ? -1 : num - 5 - 2 * copies;
    if (kernel == NULL || sizes == NULL || bytes < 0 || data < (groups ? 4 : 0)) {
        PyErr_SetString(PyExc_ValueError, "call: a number does not fit");
        return NULL;
    }
    PyThreadState *const state = bytes * sizes[0] < WORTHWHILE ? NULL : PyEval_SaveThread();
    for (Py_ssize_t k = 0; k < 2 * copies; k += 2)
        if (all[k + 1]) memcpy(all[k], all[k + 1], bytes);
        else memset(all[k], 0, bytes);
    void *const *const rest = all + 2 * copies;
    const int failed = groups ? ((Recurrent)(uintptr_t)kernel)(sizes, rest, groups, rest + data - 4)
                              : ((Kernel)(uintptr_t)kernel)(sizes, rest);
    if (state) PyEval_RestoreThread(state);
    if (failed) return PyErr_NoMemory();
    Py_RETURN_NONE;
}

static const char doc[] =
    "call(kernel, sizes, groups, bytes, copies, to, from, ..., data, ...)\n\n"
    "Copy so many bytes between addresses, zeros where there is none, then call a kernel with the others; with groups of\n"
    "synapses it is that of a recurrent layer, and the last four are what they consist of.";

static PyMethodDef methods[] = {{"call", (PyCFunction)(void (*)(void))call, METH_FASTCALL, doc}, {NULL, NULL, 0, NULL}};
static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "_c", NULL, -1, methods, NULL, NULL, NULL, NULL};
PyMODINIT_FUNC PyInit__c(void) { return PyModule_Create(&module); }
#endif
