/* SPDX-License-Identifier: MIT */
/* Calls of a few nanoseconds, where Cython's own wrappers cost as much as the lock.
 *
 * acquire() and release() without arguments go straight to the lock; with arguments they take Cython's way.
 *
 * `with` does without two bound methods. Before 3.14 a with statement looks __enter__ and __exit__ up on the type and has each bound to the object: two
 * allocations that cost more than the lock. The descriptors here bind to objects from a free list. In 3.14 the
 * interpreter binds nothing, so there the ordinary methods stay; so they do in free-threaded builds, which would need
 * a free list for each thread. Here and not in Cython, as Cython cannot make types with a vectorcall slot. */
#ifndef MPFAST_FASTCALL_H
#define MPFAST_FASTCALL_H

#include <Python.h>
#include <stddef.h>
#include <string.h>
#include <structmember.h>

typedef PyObject *(*fastwith_function)(PyObject *self);

/* One per type, as a C function of Python's has no data of its own. */
struct fastcall_type {
    PyObject *acquire; /* Cython's method, for calls with arguments */
    fastwith_function enter;
    fastwith_function leave;
};

static PyObject *fastcall_slowly(PyObject *method, PyObject *self, PyObject *const *args, Py_ssize_t nargs,
                                 PyObject *names)
{
    PyObject *all[8] = {self};
    Py_ssize_t count = nargs + (names == NULL ? 0 : PyTuple_GET_SIZE(names));
    if (count > 7)
        return PyErr_Format(PyExc_TypeError, "acquire() takes at most 2 arguments (%zd given)", count);
    memcpy(all + 1, args, (size_t)count * sizeof *args);
    return PyObject_Vectorcall(method, all, (size_t)nargs + 1, names);
}

#define FASTCALL_DEFINE(name) \
    static struct fastcall_type name; \
    static PyObject *name##_acquire(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *names) \
    { \
        if (nargs == 0 && names == NULL) \
            return name.enter(self); \
        return fastcall_slowly(name.acquire, self, args, nargs, names); \
    } \
    static PyObject *name##_enter(PyObject *self, PyObject *Py_UNUSED(none)) { return name.enter(self); } \
    static PyObject *name##_release(PyObject *self, PyObject *Py_UNUSED(none)) { return name.leave(self); } \
    static PyObject *name##_exit(PyObject *self, PyObject *const *Py_UNUSED(raised), Py_ssize_t Py_UNUSED(n)) \
    { \
        return name.leave(self); \
    } \
    static PyMethodDef name##_methods[] = { \
        {"acquire", (PyCFunction)(void (*)(void))name##_acquire, METH_FASTCALL | METH_KEYWORDS, NULL}, \
        {"release", name##_release, METH_NOARGS, NULL}, \
        {"__enter__", name##_enter, METH_NOARGS, NULL}, \
        {"__exit__", (PyCFunction)(void (*)(void))name##_exit, METH_FASTCALL, NULL}, \
        {0}, \
    };

FASTCALL_DEFINE(fastcall_lock)
FASTCALL_DEFINE(fastcall_rlock)

static int fastcall_replace(PyTypeObject *type, PyMethodDef *method)
{
    PyObject *replaced = PyObject_GetAttrString((PyObject *)type, method->ml_name);
    if (replaced == NULL)
        return -1;
    method->ml_doc = ((PyMethodDescrObject *)replaced)->d_method->ml_doc;
    PyObject *descriptor = PyDescr_NewMethod(type, method);
    int rc = descriptor == NULL ? -1 : PyDict_SetItemString(type->tp_dict, method->ml_name, descriptor);
    Py_XDECREF(descriptor);
    Py_DECREF(replaced);
    return rc;
}

#if PY_VERSION_HEX >= 0x030E0000 || defined(Py_GIL_DISABLED)

static int fastwith_install(PyTypeObject *type, fastwith_function enter, fastwith_function leave)
{
    (void)type, (void)enter, (void)leave;
    return 0;
}

#else

#define FASTWITH_FREE 16 /* nested with statements of all threads; more of them only cost an allocation */

struct fastwith_bound {
    PyObject_HEAD vectorcallfunc call;
    fastwith_function function;
    PyObject *self;
};

struct fastwith_method {
    PyObject_HEAD fastwith_function function;
    PyObject *replaced; /* the method in whose place this stands: what introspection sees */
};

static struct fastwith_bound *fastwith_free[FASTWITH_FREE]; /* guarded by the GIL */
static int fastwith_count;

static PyObject *fastwith_bound_call(PyObject *callable, PyObject *const *args, size_t nargs, PyObject *names)
{
    (void)args, (void)nargs, (void)names; /* __exit__ gets what was raised, and no lock cares */
    struct fastwith_bound *bound = (struct fastwith_bound *)callable;
    return bound->function(bound->self);
}

static void fastwith_bound_dealloc(PyObject *object)
{
    struct fastwith_bound *bound = (struct fastwith_bound *)object;
    Py_CLEAR(bound->self);
    if (fastwith_count < FASTWITH_FREE)
        fastwith_free[fastwith_count++] = bound;
    else
        PyObject_Free(bound);
}

static PyMemberDef fastwith_bound_members[] = {
    {"__self__", T_OBJECT, offsetof(struct fastwith_bound, self), READONLY, NULL},
    {0},
};

static PyTypeObject fastwith_bound_type = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "mpfast.bound_method",
    .tp_basicsize = sizeof(struct fastwith_bound),
    .tp_dealloc = fastwith_bound_dealloc,
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_VECTORCALL | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .tp_vectorcall_offset = offsetof(struct fastwith_bound, call),
    .tp_call = PyVectorcall_Call,
    .tp_members = fastwith_bound_members,
};

static PyObject *fastwith_get(PyObject *descriptor, PyObject *self, PyObject *type)
{
    (void)type;
    struct fastwith_method *method = (struct fastwith_method *)descriptor;
    if (self == NULL)
        return Py_NewRef(method->replaced);
    struct fastwith_bound *bound;
    if (fastwith_count > 0) {
        bound = fastwith_free[--fastwith_count];
        (void)PyObject_Init((PyObject *)bound, &fastwith_bound_type);
    } else if ((bound = PyObject_New(struct fastwith_bound, &fastwith_bound_type)) == NULL) {
        return NULL;
    }
    bound->call = fastwith_bound_call;
    bound->function = method->function;
    bound->self = Py_NewRef(self);
    return (PyObject *)bound;
}

static void fastwith_method_dealloc(PyObject *object)
{
    Py_XDECREF(((struct fastwith_method *)object)->replaced);
    PyObject_Free(object);
}

static PyTypeObject fastwith_method_type = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "mpfast.method_descriptor",
    .tp_basicsize = sizeof(struct fastwith_method),
    .tp_dealloc = fastwith_method_dealloc,
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .tp_descr_get = fastwith_get,
};

static int fastwith_replace(PyTypeObject *type, const char *name, fastwith_function function)
{
    struct fastwith_method *method = PyObject_New(struct fastwith_method, &fastwith_method_type);
    if (method == NULL)
        return -1;
    method->function = function;
    method->replaced = PyObject_GetAttrString((PyObject *)type, name);
    int rc = method->replaced == NULL ? -1 : PyDict_SetItemString(type->tp_dict, name, (PyObject *)method);
    Py_DECREF(method);
    return rc;
}

static int fastwith_install(PyTypeObject *type, fastwith_function enter, fastwith_function leave)
{
    if (PyType_Ready(&fastwith_bound_type) < 0 || PyType_Ready(&fastwith_method_type) < 0)
        return -1;
    return fastwith_replace(type, "__enter__", enter) < 0 || fastwith_replace(type, "__exit__", leave) < 0 ? -1 : 0;
}

#endif

/* Puts these in the place of the type's own methods of the same names. -1 with an exception set on failure. */
static int fastcall_install(PyObject *object, struct fastcall_type *fast, PyMethodDef *methods, fastwith_function enter,
                            fastwith_function leave)
{
    PyTypeObject *type = (PyTypeObject *)object;
    fast->enter = enter;
    fast->leave = leave;
    fast->acquire = PyObject_GetAttrString(object, "acquire");
    if (fast->acquire == NULL)
        return -1;
    for (; methods->ml_name != NULL; methods++)
        if (fastcall_replace(type, methods) < 0)
            return -1;
    if (fastwith_install(type, enter, leave) < 0)
        return -1;
    PyType_Modified(type);
    return 0;
}

#endif
