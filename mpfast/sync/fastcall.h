/* SPDX-License-Identifier: MIT */
/* Calls of a few nanoseconds, where Cython's own wrappers cost as much as the lock.
 *
 * acquire() and release() without arguments go straight to the lock. With arguments they take Cython's way.
 *
 * `with` does without two bound methods. Before 3.14 a with statement looks __enter__ and __exit__ up on the type and
 * binds each to the object. Those two allocations cost more than the lock. The descriptors here bind to objects from a
 * free list. In 3.14 the interpreter binds nothing, so plain methods do there. They also do in free-threaded builds,
 * which would need a free list for each thread. This is C because Cython cannot make types with a vectorcall slot. */
#ifndef MPFAST_FASTCALL_H
#define MPFAST_FASTCALL_H

#include <Python.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <structmember.h>

typedef PyObject *(*fast_function)(PyObject *self);

/* One per type, because Python's C functions have no data of their own. */
struct fastcall_type {
    PyTypeObject *type;
    PyObject *acquire; /* Cython's method, for calls with arguments */
    fast_function enter;
    fast_function release;
    fast_function leave;  /* the with block */
    fast_function raised; /* leave, when an exception ends the with block */
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

static PyObject *fastcall_exit(const struct fastcall_type *fast, PyObject *self, PyObject *const *args, Py_ssize_t n)
{
    return n > 0 && args[0] != Py_None ? fast->raised(self) : fast->leave(self);
}

/* For the extension that has the type. */
/* clang-format off */
#define FASTCALL_DEFINE(name)                                                                                          \
    static struct fastcall_type name;                                                                                  \
    static PyObject *name##_acquire(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *names)          \
    {                                                                                                                  \
        if (nargs == 0 && names == NULL)                                                                               \
            return name.enter(self);                                                                                   \
        return fastcall_slowly(name.acquire, self, args, nargs, names);                                                \
    }                                                                                                                  \
    static PyObject *name##_enter(PyObject *self, PyObject *Py_UNUSED(none)) { return name.enter(self); }              \
    static PyObject *name##_release(PyObject *self, PyObject *Py_UNUSED(none)) { return name.release(self); }          \
    static PyObject *name##_exit(PyObject *self, PyObject *const *args, Py_ssize_t n)                                  \
    {                                                                                                                  \
        return fastcall_exit(&name, self, args, n);                                                                    \
    }                                                                                                                  \
    static PyMethodDef name##_methods[] = {                                                                            \
        {"acquire", (PyCFunction)(void (*)(void))name##_acquire, METH_FASTCALL | METH_KEYWORDS, NULL},                 \
        {"release", name##_release, METH_NOARGS, NULL},                                                                \
        {"__enter__", name##_enter, METH_NOARGS, NULL},                                                                \
        {"__exit__", (PyCFunction)(void (*)(void))name##_exit, METH_FASTCALL, NULL},                                   \
        {0},                                                                                                           \
    };
/* clang-format on */

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

static int fastwith_install(PyTypeObject *type, const struct fastcall_type *fast)
{
    (void)type, (void)fast;
    return 0;
}

#else

#define FASTWITH_FREE 16 /* nested with statements of all threads. More of them only cost an allocation */

struct fastwith_bound {
    PyObject_HEAD vectorcallfunc call;
    const struct fastcall_type *fast;
    PyObject *self;
};

struct fastwith_method {
    PyObject_HEAD const struct fastcall_type *fast;
    vectorcallfunc call;
    PyObject *replaced; /* the method that this replaces, which introspection sees */
};

static struct fastwith_bound *fastwith_free[FASTWITH_FREE]; /* guarded by the GIL */
static int fastwith_count;

static PyObject *fastwith_enter(PyObject *callable, PyObject *const *args, size_t nargs, PyObject *names)
{
    (void)args, (void)names;
    const struct fastwith_bound *bound = (struct fastwith_bound *)callable;
    if (PyVectorcall_NARGS(nargs) > 0)
        return PyErr_Format(PyExc_TypeError, "__enter__() takes no arguments (%zd given)", PyVectorcall_NARGS(nargs));
    return bound->fast->enter(bound->self);
}

static PyObject *fastwith_exit(PyObject *callable, PyObject *const *args, size_t nargs, PyObject *names)
{
    (void)names;
    const struct fastwith_bound *bound = (struct fastwith_bound *)callable;
    return fastcall_exit(bound->fast, bound->self, args, PyVectorcall_NARGS(nargs));
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
    if (!PyObject_TypeCheck(self, method->fast->type))
        return PyErr_Format(PyExc_TypeError, "this method is of %s, not of %s", method->fast->type->tp_name,
                            Py_TYPE(self)->tp_name);
    struct fastwith_bound *bound;
    if (fastwith_count > 0) {
        bound = fastwith_free[--fastwith_count];
        (void)PyObject_Init((PyObject *)bound, &fastwith_bound_type);
    } else if ((bound = PyObject_New(struct fastwith_bound, &fastwith_bound_type)) == NULL) {
        return NULL;
    }
    bound->call = method->call;
    bound->fast = method->fast;
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

static int fastwith_replace(PyTypeObject *type, const char *name, const struct fastcall_type *fast, vectorcallfunc call)
{
    struct fastwith_method *method = PyObject_New(struct fastwith_method, &fastwith_method_type);
    if (method == NULL)
        return -1;
    method->fast = fast;
    method->call = call;
    method->replaced = PyObject_GetAttrString((PyObject *)type, name);
    int rc = method->replaced == NULL ? -1 : PyDict_SetItemString(type->tp_dict, name, (PyObject *)method);
    Py_DECREF(method);
    return rc;
}

static int fastwith_install(PyTypeObject *type, const struct fastcall_type *fast)
{
    if (PyType_Ready(&fastwith_bound_type) < 0 || PyType_Ready(&fastwith_method_type) < 0)
        return -1;
    if (fastwith_replace(type, "__enter__", fast, fastwith_enter) < 0)
        return -1;
    return fastwith_replace(type, "__exit__", fast, fastwith_exit);
}

#endif

/* Puts these in place of the type's own methods of the same names. -1 with an exception set on failure. */
static int fastcall_install(PyObject *object, struct fastcall_type *fast, PyMethodDef *methods, fast_function enter,
                            fast_function release, fast_function leave, fast_function raised)
{
    PyTypeObject *type = (PyTypeObject *)object;
    fast->type = type;
    fast->enter = enter;
    fast->release = release;
    fast->leave = leave;
    fast->raised = raised;
    fast->acquire = PyObject_GetAttrString(object, "acquire");
    if (fast->acquire == NULL)
        return -1;
    for (; methods->ml_name != NULL; methods++)
        if (fastcall_replace(type, methods) < 0)
            return -1;
    if (fastwith_install(type, fast) < 0)
        return -1;
    PyType_Modified(type);
    return 0;
}

#endif
