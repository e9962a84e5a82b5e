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

#define MOST 96           /* tensors of a call */
#define WORTHWHILE 131072 /* bytes of a tensor from which on other threads may run meanwhile */

typedef int (*Kernel)(const int64_t *sizes, void *const *data);

/* Addresses come from `Tensor.data_ptr()` of tensors that were checked; see kernels/onestep.py. */
static PyObject *call(PyObject *self, PyObject *const *given, Py_ssize_t num) {
    void *all[MOST];
    (void)self;
    if (num < 4 || num - 4 > MOST) {
        PyErr_SetString(PyExc_ValueError, "call: too few or too many arguments");
        return NULL;
    }
    const Kernel kernel = (Kernel)(uintptr_t)PyLong_AsVoidPtr(given[0]);
    const int64_t *const sizes = PyLong_AsVoidPtr(given[1]);
    const Py_ssize_t bytes = PyLong_AsSsize_t(given[2]), copies = PyLong_AsSsize_t(given[3]);
    for (Py_ssize_t k = 4; k < num; k++) all[k - 4] = PyLong_AsVoidPtr(given[k]);
    if (PyErr_Occurred()) return NULL;
    if (kernel == NULL || sizes == NULL || bytes < 0 || copies < 0 || 2 * copies > num - 4) {
        PyErr_SetString(PyExc_ValueError, "call: a number does not fit");
        return NULL;
    }
    PyThreadState *const state = bytes < WORTHWHILE ? NULL : PyEval_SaveThread();
    for (Py_ssize_t k = 0; k < 2 * copies; k += 2)
        if (all[k + 1]) memcpy(all[k], all[k + 1], bytes);
        else memset(all[k], 0, bytes);
    const int failed = kernel(sizes, all + 2 * copies);
    if (state) PyEval_RestoreThread(state);
    if (failed) return PyErr_NoMemory();
    Py_RETURN_NONE;
}

static const char doc[] =
    "call(kernel, sizes, bytes, copies, to, from, ..., data, ...)\n\n"
    "Copy so many bytes between addresses, zeros where there is none, then call a kernel with the others.";

static PyMethodDef methods[] = {{"call", (PyCFunction)(void (*)(void))call, METH_FASTCALL, doc}, {NULL, NULL, 0, NULL}};
static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "_c", NULL, -1, methods, NULL, NULL, NULL, NULL};
PyMODINIT_FUNC PyInit__c(void) { return PyModule_Create(&module); }
#endif
