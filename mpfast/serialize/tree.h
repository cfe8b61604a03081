/* SPDX-License-Identifier: MIT */
/* Small values of plain types, in a tenth of the time that a pickle takes: None, bools, ints, floats, strings, bytes,
 * and tuples, lists and dicts of them.
 *
 * A pickler asks what each object is, and remembers it. This asks two questions. Is all of a small value of exactly
 * these types? Nothing can change how they are pickled, because their reducers are never looked up. Is no container in
 * it twice? Then there is nothing to remember. If an answer is no, the value is pickled. Strings and numbers that were
 * one object may be two afterwards. No Python code runs here.
 *
 *   value:  tag:8, then  int: 1 or 8 bytes | float: 8 | ASCII, bytes: length:16, data | other strings: bytes a
 *           character:8, characters:16, data | tuple, list: length:16, values | dict: length:16, keys and values */
#ifndef MPFAST_TREE_H
#define MPFAST_TREE_H

#include <Python.h>

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define TREE_SIZE 1000 /* bytes. What takes more is pickled */
#define TREE_LENGTH 64 /* of a container */
#define TREE_DEPTH 8
#define TREE_CONTAINERS 24

enum tree_tag {
    TREE_NONE,
    TREE_FALSE,
    TREE_TRUE,
    TREE_BYTE, /* an int */
    TREE_INT,
    TREE_FLOAT,
    TREE_ASCII,
    TREE_TEXT,
    TREE_BYTES,
    TREE_TUPLE,
    TREE_LIST,
    TREE_DICT,
};

struct tree_writer {
    char *at, *end;
    PyObject *seen[TREE_CONTAINERS];
    int containers, depth;
};

static bool tree_write(struct tree_writer *w, PyObject *obj);

/* Reserves n bytes behind a tag. NULL if there is no room. */
static inline char *tree_reserve(struct tree_writer *w, enum tree_tag tag, size_t n)
{
    if ((size_t)(w->end - w->at) < n + 1)
        return NULL;
    char *where = w->at + 1;
    *w->at = (char)tag;
    w->at += n + 1;
    return where;
}

static inline bool tree_write_int(struct tree_writer *w, PyObject *obj)
{
    int overflow;
    int64_t number = PyLong_AsLongLongAndOverflow(obj, &overflow);
    if (overflow)
        return false;
    bool small = number >= INT8_MIN && number <= INT8_MAX;
    char *where = tree_reserve(w, small ? TREE_BYTE : TREE_INT, small ? 1 : sizeof number);
    if (where != NULL && small)
        *where = (char)number;
    else if (where != NULL)
        memcpy(where, &number, sizeof number);
    return where != NULL;
}

static inline bool tree_write_data(struct tree_writer *w, enum tree_tag tag, const void *data, Py_ssize_t length)
{
    uint16_t n = (uint16_t)length;
    char *where = length > TREE_SIZE ? NULL : tree_reserve(w, tag, sizeof n + n);
    if (where == NULL)
        return false;
    memcpy(where, &n, sizeof n);
    memcpy(where + sizeof n, data, n);
    return true;
}

static inline bool tree_write_text(struct tree_writer *w, PyObject *obj)
{
    Py_ssize_t length = PyUnicode_GET_LENGTH(obj);
    if (PyUnicode_IS_COMPACT_ASCII(obj))
        return tree_write_data(w, TREE_ASCII, PyUnicode_DATA(obj), length);
    uint8_t kind = (uint8_t)PyUnicode_KIND(obj);
    uint16_t n = (uint16_t)length;
    char *where = length > TREE_SIZE ? NULL : tree_reserve(w, TREE_TEXT, 1 + sizeof n + (size_t)n * kind);
    if (where == NULL)
        return false;
    memcpy(where, &kind, 1);
    memcpy(where + 1, &n, sizeof n);
    memcpy(where + 1 + sizeof n, PyUnicode_DATA(obj), (size_t)n * kind);
    return true;
}

/* Begins a container. False if it was met before, if there are too many, or if it is too long. */
static inline bool tree_begin(struct tree_writer *w, enum tree_tag tag, PyObject *obj, Py_ssize_t length)
{
    if (length > TREE_LENGTH || w->depth == TREE_DEPTH || w->containers == TREE_CONTAINERS)
        return false;
    for (int i = 0; i < w->containers; i++)
        if (w->seen[i] == obj)
            return false;
    w->seen[w->containers++] = obj;
    w->depth++;
    uint16_t n = (uint16_t)length;
    char *where = tree_reserve(w, tag, sizeof n);
    if (where != NULL)
        memcpy(where, &n, sizeof n);
    return where != NULL;
}

static bool tree_write_items(struct tree_writer *w, enum tree_tag tag, PyObject *obj)
{
    Py_ssize_t length = Py_SIZE(obj);
    if (length == 0 && tag == TREE_TUPLE)
        return tree_write_data(w, tag, "", 0); /* there is only one empty tuple */
    if (!tree_begin(w, tag, obj, length))
        return false;
    for (Py_ssize_t i = 0; i < length; i++)
        if (!tree_write(w, tag == TREE_TUPLE ? PyTuple_GET_ITEM(obj, i) : PyList_GET_ITEM(obj, i)))
            return false;
    w->depth--;
    return true;
}

static bool tree_write_dict(struct tree_writer *w, PyObject *obj)
{
    PyObject *key, *value;
    Py_ssize_t position = 0;
    if (!tree_begin(w, TREE_DICT, obj, PyDict_GET_SIZE(obj)))
        return false;
    while (PyDict_Next(obj, &position, &key, &value))
        if (!tree_write(w, key) || !tree_write(w, value))
            return false;
    w->depth--;
    return true;
}

/* False if this is for the pickler. */
static bool tree_write(struct tree_writer *w, PyObject *obj)
{
    PyTypeObject *type = Py_TYPE(obj);
    if (type == &PyUnicode_Type)
        return tree_write_text(w, obj);
    if (type == &PyLong_Type)
        return tree_write_int(w, obj);
    if (obj == Py_None || type == &PyBool_Type)
        return tree_reserve(w, obj == Py_None ? TREE_NONE : obj == Py_True ? TREE_TRUE : TREE_FALSE, 0) != NULL;
    if (type == &PyFloat_Type) {
        double number = PyFloat_AS_DOUBLE(obj);
        char *where = tree_reserve(w, TREE_FLOAT, sizeof number);
        return where != NULL && memcpy(where, &number, sizeof number) != NULL;
    }
    if (type == &PyTuple_Type || type == &PyList_Type)
        return tree_write_items(w, type == &PyTuple_Type ? TREE_TUPLE : TREE_LIST, obj);
    if (type == &PyDict_Type)
        return tree_write_dict(w, obj);
    return type == &PyBytes_Type && tree_write_data(w, TREE_BYTES, PyBytes_AS_STRING(obj), PyBytes_GET_SIZE(obj));
}

/* Writes a value to `buffer`, of TREE_SIZE bytes. Returns its size there, or 0 if it has to be pickled. */
static inline size_t tree_dump(PyObject *obj, char *buffer)
{
    struct tree_writer w;
    w.at = buffer;
    w.end = buffer + TREE_SIZE;
    w.containers = w.depth = 0;
    return tree_write(&w, obj) ? (size_t)(w.at - buffer) : 0;
}

struct tree_reader {
    const char *at, *end;
    int depth;
};

static PyObject *tree_read(struct tree_reader *r);

/* The next n bytes. NULL, without an exception, if the data is damaged. */
static inline const char *tree_next(struct tree_reader *r, size_t n)
{
    if ((size_t)(r->end - r->at) < n)
        return NULL;
    const char *where = r->at;
    r->at += n;
    return where;
}

static inline const char *tree_next_data(struct tree_reader *r, uint16_t *n, size_t each)
{
    const char *where = tree_next(r, sizeof *n);
    if (where == NULL)
        return NULL;
    memcpy(n, where, sizeof *n);
    return tree_next(r, *n * each);
}

static inline PyObject *tree_read_number(struct tree_reader *r, enum tree_tag tag)
{
    int64_t number;
    double real;
    const char *where = tree_next(r, tag == TREE_BYTE ? 1 : sizeof number);
    if (where == NULL)
        return NULL;
    if (tag == TREE_BYTE)
        return PyLong_FromLong((signed char)*where);
    if (tag == TREE_FLOAT) {
        memcpy(&real, where, sizeof real);
        return PyFloat_FromDouble(real);
    }
    memcpy(&number, where, sizeof number);
    return PyLong_FromLongLong(number);
}

static inline PyObject *tree_read_text(struct tree_reader *r, enum tree_tag tag)
{
    const char *kind = tag == TREE_TEXT ? tree_next(r, 1) : "\1", *data;
    uint16_t n;
    if (kind == NULL || (*kind != 1 && *kind != 2 && *kind != 4) ||
        (data = tree_next_data(r, &n, (size_t)*kind)) == NULL)
        return NULL;
    if (tag == TREE_ASCII)
        return PyUnicode_DecodeASCII(data, n, NULL);
    return PyUnicode_FromKindAndData(*kind, data, n);
}

static PyObject *tree_read_items(struct tree_reader *r, enum tree_tag tag)
{
    uint16_t n;
    if (tree_next_data(r, &n, 0) == NULL || n > TREE_LENGTH || r->depth++ == TREE_DEPTH)
        return NULL;
    PyObject *result = tag == TREE_TUPLE ? PyTuple_New(n) : PyList_New(n);
    for (Py_ssize_t i = 0; result != NULL && i < n; i++) {
        PyObject *item = tree_read(r);
        if (item == NULL)
            Py_CLEAR(result);
        else if (tag == TREE_TUPLE)
            PyTuple_SET_ITEM(result, i, item);
        else
            PyList_SET_ITEM(result, i, item);
    }
    r->depth--;
    return result;
}

/* False if there is no entry, for whatever reason. */
static inline bool tree_read_entry(struct tree_reader *r, PyObject *dict)
{
    PyObject *key = tree_read(r), *value = key == NULL ? NULL : tree_read(r);
    bool good = value != NULL && PyDict_SetItem(dict, key, value) == 0;
    Py_XDECREF(key);
    Py_XDECREF(value);
    return good;
}

static PyObject *tree_read_dict(struct tree_reader *r)
{
    uint16_t n;
    if (tree_next_data(r, &n, 0) == NULL || n > TREE_LENGTH || r->depth++ == TREE_DEPTH)
        return NULL;
    PyObject *result = PyDict_New();
    for (; result != NULL && n > 0; n--)
        if (!tree_read_entry(r, result))
            Py_CLEAR(result);
    r->depth--;
    return result;
}

static PyObject *tree_read(struct tree_reader *r)
{
    const char *where = tree_next(r, 1), *data;
    enum tree_tag tag = where == NULL ? (enum tree_tag)0xff : (enum tree_tag)(unsigned char)*where;
    uint16_t n;
    switch (tag) {
    case TREE_NONE:
        return Py_NewRef(Py_None);
    case TREE_FALSE:
    case TREE_TRUE:
        return Py_NewRef(tag == TREE_TRUE ? Py_True : Py_False);
    case TREE_BYTE:
    case TREE_INT:
    case TREE_FLOAT:
        return tree_read_number(r, tag);
    case TREE_ASCII:
    case TREE_TEXT:
        return tree_read_text(r, tag);
    case TREE_BYTES:
        data = tree_next_data(r, &n, 1);
        return data == NULL ? NULL : PyBytes_FromStringAndSize(data, n);
    case TREE_TUPLE:
    case TREE_LIST:
        return tree_read_items(r, tag);
    case TREE_DICT:
        return tree_read_dict(r);
    }
    return NULL;
}

/* A new reference. NULL without an exception if the data is damaged. */
static inline PyObject *tree_load(const char *data, size_t size)
{
    struct tree_reader r = {data, data + size, 0};
    PyObject *result = tree_read(&r);
    if (result != NULL && r.at != r.end)
        Py_CLEAR(result);
    return result;
}

#endif
