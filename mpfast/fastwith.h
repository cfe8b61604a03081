/* SPDX-License-Identifier: MIT */
/* `with` without the price of two bound methods.
 *
 * Before 3.14 a with statement looks __enter__ and __exit__ up on the type and has each bound to the object: two
 * allocations that cost more than the lock. The descriptors here bind to objects from a free list. In 3.14 the
 * interpreter binds nothing, so there the ordinary methods stay; so they do in free-threaded builds, which would need
 * a free list for each thread. Here and not in Cython, as Cython cannot make types with a vectorcall slot. */
#ifndef MPFAST_FASTWITH_H
#define MPFAST_FASTWITH_H

#include <Python.h>
#include <stddef.h>
#include <structmember.h>

typedef PyObject *(*fastwith_function)(PyObject *self);

#if PY_VERSION_HEX >= 0x030E0000 || defined(Py_GIL_DISABLED)

static int fastwith_install(PyObject *type, fastwith_function enter, fastwith_function leave)
{
    (void)type, (void)enter, (void)leave;
    return 0;
}

#else

#define FASTWITH_FREE 16 /* nested with statements of all threads; more of them only cost an allocation */

struct fastwith_bound {
    PyObject_HEAD
    vectorcallfunc call;
    fastwith_function function;
    PyObject *self;
};

struct fastwith_method {
    PyObject_HEAD
    fastwith_function function;
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
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "mpfast.bound_method",
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
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "mpfast.method_descriptor",
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

/* Puts the two in the place of the type's own __enter__ and __exit__. -1 with an exception set on failure. */
static int fastwith_install(PyObject *type, fastwith_function enter, fastwith_function leave)
{
    if (PyType_Ready(&fastwith_bound_type) < 0 || PyType_Ready(&fastwith_method_type) < 0)
        return -1;
    if (fastwith_replace((PyTypeObject *)type, "__enter__", enter) < 0 ||
        fastwith_replace((PyTypeObject *)type, "__exit__", leave) < 0)
        return -1;
    PyType_Modified((PyTypeObject *)type);
    return 0;
}

#endif
#endif
