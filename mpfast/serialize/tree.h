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
#ifndef MPFAST_PLAIN_H
#define MPFAST_PLAIN_H

#include <Python.h>

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define PLAIN_SIZE 1000 /* bytes. What takes more is pickled */
#define PLAIN_LENGTH 64 /* of a container */
#define PLAIN_DEPTH 8
#define PLAIN_CONTAINERS 24

enum plain_tag {
    PLAIN_NONE,
    PLAIN_FALSE,
    PLAIN_TRUE,
    PLAIN_BYTE, /* an int */
    PLAIN_INT,
    PLAIN_FLOAT,
    PLAIN_ASCII,
    PLAIN_TEXT,
    PLAIN_BYTES,
    PLAIN_TUPLE,
    PLAIN_LIST,
    PLAIN_DICT,
};

struct plain_writer {
    char *at, *end;
    PyObject *seen[PLAIN_CONTAINERS];
    int containers, depth;
};

static bool plain_write(struct plain_writer *w, PyObject *obj);

/* Reserves n bytes behind a tag. NULL if there is no room. */
static inline char *plain_reserve(struct plain_writer *w, enum plain_tag tag, size_t n)
{
    if ((size_t)(w->end - w->at) < n + 1)
        return NULL;
    char *where = w->at + 1;
    *w->at = (char)tag;
    w->at += n + 1;
    return where;
}

static inline bool plain_write_int(struct plain_writer *w, PyObject *obj)
{
    int overflow;
    int64_t number = PyLong_AsLongLongAndOverflow(obj, &overflow);
    if (overflow)
        return false;
    bool small = number >= INT8_MIN && number <= INT8_MAX;
    char *where = plain_reserve(w, small ? PLAIN_BYTE : PLAIN_INT, small ? 1 : sizeof number);
    if (where != NULL && small)
        *where = (char)number;
    else if (where != NULL)
        memcpy(where, &number, sizeof number);
    return where != NULL;
}

static inline bool plain_write_data(struct plain_writer *w, enum plain_tag tag, const void *data, Py_ssize_t length)
{
    uint16_t n = (uint16_t)length;
    char *where = length > PLAIN_SIZE ? NULL : plain_reserve(w, tag, sizeof n + n);
    if (where == NULL)
        return false;
    memcpy(where, &n, sizeof n);
    memcpy(where + sizeof n, data, n);
    return true;
}

static inline bool plain_write_text(struct plain_writer *w, PyObject *obj)
{
    Py_ssize_t length = PyUnicode_GET_LENGTH(obj);
    if (PyUnicode_IS_COMPACT_ASCII(obj))
        return plain_write_data(w, PLAIN_ASCII, PyUnicode_DATA(obj), length);
    uint8_t kind = (uint8_t)PyUnicode_KIND(obj);
    uint16_t n = (uint16_t)length;
    char *where = length > PLAIN_SIZE ? NULL : plain_reserve(w, PLAIN_TEXT, 1 + sizeof n + (size_t)n * kind);
    if (where == NULL)
        return false;
    memcpy(where, &kind, 1);
    memcpy(where + 1, &n, sizeof n);
    memcpy(where + 1 + sizeof n, PyUnicode_DATA(obj), (size_t)n * kind);
    return true;
}

/* Begins a container. False if it was met before, if there are too many, or if it is too long. */
static inline bool plain_begin(struct plain_writer *w, enum plain_tag tag, PyObject *obj, Py_ssize_t length)
{
    if (length > PLAIN_LENGTH || w->depth == PLAIN_DEPTH || w->containers == PLAIN_CONTAINERS)
        return false;
    for (int i = 0; i < w->containers; i++)
        if (w->seen[i] == obj)
            return false;
    w->seen[w->containers++] = obj;
    w->depth++;
    uint16_t n = (uint16_t)length;
    char *where = plain_reserve(w, tag, sizeof n);
    if (where != NULL)
        memcpy(where, &n, sizeof n);
    return where != NULL;
}

static bool plain_write_items(struct plain_writer *w, enum plain_tag tag, PyObject *obj)
{
    Py_ssize_t length = Py_SIZE(obj);
    if (length == 0 && tag == PLAIN_TUPLE)
        return plain_write_data(w, tag, "", 0); /* there is only one empty tuple */
    if (!plain_begin(w, tag, obj, length))
        return false;
    for (Py_ssize_t i = 0; i < length; i++)
        if (!plain_write(w, tag == PLAIN_TUPLE ? PyTuple_GET_ITEM(obj, i) : PyList_GET_ITEM(obj, i)))
            return false;
    w->depth--;
    return true;
}

static bool plain_write_dict(struct plain_writer *w, PyObject *obj)
{
    PyObject *key, *value;
    Py_ssize_t position = 0;
    if (!plain_begin(w, PLAIN_DICT, obj, PyDict_GET_SIZE(obj)))
        return false;
    while (PyDict_Next(obj, &position, &key, &value))
        if (!plain_write(w, key) || !plain_write(w, value))
            return false;
    w->depth--;
    return true;
}

/* False if this is for the pickler. */
static bool plain_write(struct plain_writer *w, PyObject *obj)
{
    PyTypeObject *type = Py_TYPE(obj);
    if (type == &PyUnicode_Type)
        return plain_write_text(w, obj);
    if (type == &PyLong_Type)
        return plain_write_int(w, obj);
    if (obj == Py_None || type == &PyBool_Type)
        return plain_reserve(w, obj == Py_None ? PLAIN_NONE : obj == Py_True ? PLAIN_TRUE : PLAIN_FALSE, 0) != NULL;
    if (type == &PyFloat_Type) {
        double number = PyFloat_AS_DOUBLE(obj);
        char *where = plain_reserve(w, PLAIN_FLOAT, sizeof number);
        return where != NULL && memcpy(where, &number, sizeof number) != NULL;
    }
    if (type == &PyTuple_Type || type == &PyList_Type)
        return plain_write_items(w, type == &PyTuple_Type ? PLAIN_TUPLE : PLAIN_LIST, obj);
    if (type == &PyDict_Type)
        return plain_write_dict(w, obj);
    return type == &PyBytes_Type && plain_write_data(w, PLAIN_BYTES, PyBytes_AS_STRING(obj), PyBytes_GET_SIZE(obj));
}

/* Writes a value to `buffer`, of PLAIN_SIZE bytes. Returns its size there, or 0 if it has to be pickled. */
static inline size_t plain_dump(PyObject *obj, char *buffer)
{
    struct plain_writer w;
    w.at = buffer;
    w.end = buffer + PLAIN_SIZE;
    w.containers = w.depth = 0;
    return plain_write(&w, obj) ? (size_t)(w.at - buffer) : 0;
}

struct plain_reader {
    const char *at, *end;
    int depth;
};

static PyObject *plain_read(struct plain_reader *r);

/* The next n bytes. NULL, without an exception, if the data is damaged. */
static inline const char *plain_next(struct plain_reader *r, size_t n)
{
    if ((size_t)(r->end - r->at) < n)
        return NULL;
    const char *where = r->at;
    r->at += n;
    return where;
}

static inline const char *plain_next_data(struct plain_reader *r, uint16_t *n, size_t each)
{
    const char *where = plain_next(r, sizeof *n);
    if (where == NULL)
        return NULL;
    memcpy(n, where, sizeof *n);
    return plain_next(r, *n * each);
}

static inline PyObject *plain_read_number(struct plain_reader *r, enum plain_tag tag)
{
    int64_t number;
    double real;
    const char *where = plain_next(r, tag == PLAIN_BYTE ? 1 : sizeof number);
    if (where == NULL)
        return NULL;
    if (tag == PLAIN_BYTE)
        return PyLong_FromLong((signed char)*where);
    if (tag == PLAIN_FLOAT) {
        memcpy(&real, where, sizeof real);
        return PyFloat_FromDouble(real);
    }
    memcpy(&number, where, sizeof number);
    return PyLong_FromLongLong(number);
}

static inline PyObject *plain_read_text(struct plain_reader *r, enum plain_tag tag)
{
    const char *kind = tag == PLAIN_TEXT ? plain_next(r, 1) : "\1", *data;
    uint16_t n;
    if (kind == NULL || (*kind != 1 && *kind != 2 && *kind != 4) ||
        (data = plain_next_data(r, &n, (size_t)*kind)) == NULL)
        return NULL;
    if (tag == PLAIN_ASCII)
        return PyUnicode_DecodeASCII(data, n, NULL);
    return PyUnicode_FromKindAndData(*kind, data, n);
}

static PyObject *plain_read_items(struct plain_reader *r, enum plain_tag tag)
{
    uint16_t n;
    if (plain_next_data(r, &n, 0) == NULL || n > PLAIN_LENGTH || r->depth++ == PLAIN_DEPTH)
        return NULL;
    PyObject *result = tag == PLAIN_TUPLE ? PyTuple_New(n) : PyList_New(n);
    for (Py_ssize_t i = 0; result != NULL && i < n; i++) {
        PyObject *item = plain_read(r);
        if (item == NULL)
            Py_CLEAR(result);
        else if (tag == PLAIN_TUPLE)
            PyTuple_SET_ITEM(result, i, item);
        else
            PyList_SET_ITEM(result, i, item);
    }
    r->depth--;
    return result;
}

/* False if there is no entry, for whatever reason. */
static inline bool plain_read_entry(struct plain_reader *r, PyObject *dict)
{
    PyObject *key = plain_read(r), *value = key == NULL ? NULL : plain_read(r);
    bool good = value != NULL && PyDict_SetItem(dict, key, value) == 0;
    Py_XDECREF(key);
    Py_XDECREF(value);
    return good;
}

static PyObject *plain_read_dict(struct plain_reader *r)
{
    uint16_t n;
    if (plain_next_data(r, &n, 0) == NULL || n > PLAIN_LENGTH || r->depth++ == PLAIN_DEPTH)
        return NULL;
    PyObject *result = PyDict_New();
    for (; result != NULL && n > 0; n--)
        if (!plain_read_entry(r, result))
            Py_CLEAR(result);
    r->depth--;
    return result;
}

static PyObject *plain_read(struct plain_reader *r)
{
    const char *where = plain_next(r, 1), *data;
    enum plain_tag tag = where == NULL ? (enum plain_tag)0xff : (enum plain_tag)(unsigned char)*where;
    uint16_t n;
    switch (tag) {
    case PLAIN_NONE:
        return Py_NewRef(Py_None);
    case PLAIN_FALSE:
    case PLAIN_TRUE:
        return Py_NewRef(tag == PLAIN_TRUE ? Py_True : Py_False);
    case PLAIN_BYTE:
    case PLAIN_INT:
    case PLAIN_FLOAT:
        return plain_read_number(r, tag);
    case PLAIN_ASCII:
    case PLAIN_TEXT:
        return plain_read_text(r, tag);
    case PLAIN_BYTES:
        data = plain_next_data(r, &n, 1);
        return data == NULL ? NULL : PyBytes_FromStringAndSize(data, n);
    case PLAIN_TUPLE:
    case PLAIN_LIST:
        return plain_read_items(r, tag);
    case PLAIN_DICT:
        return plain_read_dict(r);
    }
    return NULL;
}

/* A new reference. NULL without an exception if the data is damaged. */
static inline PyObject *plain_load(const char *data, size_t size)
{
    struct plain_reader r = {data, data + size, 0};
    PyObject *result = plain_read(&r);
    if (result != NULL && r.at != r.end)
        Py_CLEAR(result);
    return result;
}

#endif
