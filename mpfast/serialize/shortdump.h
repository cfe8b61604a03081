/* SPDX-License-Identifier: MIT */
/* Pickles small plain data without a pickler, because making and using one costs more than the wire. Plain data is
 * numbers, strings, bytes, and the tuples, lists and dicts of them.
 *
 * What is written is a pickle that every unpickler can load. The stdlib's pickletools describes the opcodes. Everything
 * else is left to pickle: objects of any other type, and values with a container that is in them twice, because it has to
 * stay one object. So does a string that is there twice, but for that the value is written once more, with the strings
 * numbered. (No reducer is passed over. Pickle asks none for objects of exactly these types.) No Python code runs here. */
#ifndef MPFAST_SHORTDUMP_H
#define MPFAST_SHORTDUMP_H

#include <Python.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define SHORT_SIZE 1000     /* of a pickle */
#define SHORT_DEPTH 8       /* containers in containers */
#define SHORT_NAMES 64      /* strings and bytes that are written */
#define SHORT_CONTAINERS 24 /* those that may be in the message twice */
#define SHORT_PROTOCOL 5
#define SHORT_HEAD 7

struct short_writer {
    uint8_t *at;
    uint8_t *end;
    int depth;
    int names;
    int containers;
    bool repeated; /* a name is there twice */
    bool numbered; /* each name has its number in the pickle's memo */
    PyObject *name[SHORT_NAMES];
    PyObject *container[SHORT_CONTAINERS];
};

static bool short_write(struct short_writer *w, PyObject *obj);

static inline bool short_room(struct short_writer *w, Py_ssize_t size) { return w->end - w->at >= size; }

static inline bool short_code(struct short_writer *w, int code)
{
    if (!short_room(w, 1))
        return false;
    *w->at++ = (uint8_t)code;
    return true;
}

static inline void short_number(struct short_writer *w, uint64_t number, int size)
{
    for (int i = 0; i < size; i++)
        *w->at++ = (uint8_t)(number >> 8 * i);
}

static inline bool short_write_int(struct short_writer *w, PyObject *obj)
{
    int overflow;
    long long number = PyLong_AsLongLongAndOverflow(obj, &overflow);
    if (overflow || !short_room(w, 10))
        return false;
    if (number != (int32_t)number) {
        *w->at++ = 0x8a; /* LONG1 */
        *w->at++ = 8;
        short_number(w, (uint64_t)number, 8);
        return true;
    }
    int size = number == (uint8_t)number ? 1 : number == (uint16_t)number ? 2 : 4;
    *w->at++ = size == 1 ? 'K' : size == 2 ? 'M' : 'J';
    short_number(w, (uint64_t)number, size);
    return true;
}

static inline bool short_write_float(struct short_writer *w, PyObject *obj)
{
    double number = PyFloat_AS_DOUBLE(obj);
    uint64_t bits;
    if (!short_room(w, 9))
        return false;
    memcpy(&bits, &number, sizeof bits);
    *w->at++ = 'G';
    for (int i = 7; i >= 0; i--)
        *w->at++ = (uint8_t)(bits >> 8 * i);
    return true;
}

/* Returns the number of a name that is here again, -1 for a new one, and -2 if there are too many. */
static inline int short_find_name(struct short_writer *w, PyObject *obj)
{
    for (int i = 0; i < w->names; i++)
        if (w->name[i] == obj)
            return i;
    if (w->names == SHORT_NAMES)
        return -2;
    w->name[w->names++] = obj;
    return -1;
}

static inline bool short_write_again(struct short_writer *w, int number)
{
    w->repeated = true;
    if (!w->numbered || !short_room(w, 2))
        return false;
    *w->at++ = 'h'; /* BINGET */
    *w->at++ = (uint8_t)number;
    return true;
}

/* `code` is for up to 255 bytes, `large` for more. */
static inline bool short_write_sized(struct short_writer *w, PyObject *obj, int code, int large, const char *data,
                                     Py_ssize_t size)
{
    bool name = size > 1; /* Python has each of the shorter ones once */
    int number = name ? short_find_name(w, obj) : -1;
    if (number != -1)
        return number >= 0 && short_write_again(w, number);
    if (!short_room(w, size + 6))
        return false;
    *w->at++ = (uint8_t)(size > 255 ? large : code);
    short_number(w, (uint64_t)size, size > 255 ? 4 : 1);
    memcpy(w->at, data, (size_t)size);
    w->at += size;
    if (name && w->numbered)
        *w->at++ = 0x94; /* MEMOIZE */
    return true;
}

static inline bool short_write_str(struct short_writer *w, PyObject *obj)
{
    Py_ssize_t size = PyUnicode_GET_LENGTH(obj);
    if (PyUnicode_IS_COMPACT_ASCII(obj))
        return short_write_sized(w, obj, 0x8c, 'X', (const char *)PyUnicode_DATA(obj), size);
    const char *data = size > SHORT_SIZE ? NULL : PyUnicode_AsUTF8AndSize(obj, &size);
    if (data == NULL)
        PyErr_Clear(); /* a lone surrogate */
    return data != NULL && short_write_sized(w, obj, 0x8c, 'X', data, size);
}

static inline bool short_write_list(struct short_writer *w, PyObject *obj)
{
    if (!short_code(w, ']'))
        return false;
    if (PyList_GET_SIZE(obj) == 0)
        return true;
    if (!short_code(w, '('))
        return false;
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(obj); i++)
        if (!short_write(w, PyList_GET_ITEM(obj, i)))
            return false;
    return short_code(w, 'e');
}

static inline bool short_write_tuple(struct short_writer *w, PyObject *obj)
{
    Py_ssize_t size = PyTuple_GET_SIZE(obj);
    if (size == 0)
        return short_code(w, ')');
    if (size > 3 && !short_code(w, '('))
        return false;
    for (Py_ssize_t i = 0; i < size; i++)
        if (!short_write(w, PyTuple_GET_ITEM(obj, i)))
            return false;
    return short_code(w, size > 3 ? 't' : 0x84 + (int)size);
}

static inline bool short_write_dict(struct short_writer *w, PyObject *obj)
{
    PyObject *key, *value;
    Py_ssize_t at = 0;
    if (!short_code(w, '}'))
        return false;
    if (PyDict_GET_SIZE(obj) == 0)
        return true;
    if (!short_code(w, '('))
        return false;
    while (PyDict_Next(obj, &at, &key, &value))
        if (!short_write(w, key) || !short_write(w, value))
            return false;
    return short_code(w, 'u');
}

/* Is it here for the first time? A container with one reference is referred to by the one that it is in, and by nothing
 * else in the message. */
static inline bool short_new_container(struct short_writer *w, PyObject *obj)
{
    if (Py_REFCNT(obj) == 1 || (PyTuple_CheckExact(obj) && PyTuple_GET_SIZE(obj) == 0)) /* there is only one */
        return true;
    for (int i = 0; i < w->containers; i++)
        if (w->container[i] == obj)
            return false;
    if (w->containers == SHORT_CONTAINERS)
        return false;
    w->container[w->containers++] = obj;
    return true;
}

static inline bool short_write_container(struct short_writer *w, PyObject *obj)
{
    if (w->depth == SHORT_DEPTH || !short_new_container(w, obj))
        return false;
    w->depth++;
    bool written = PyTuple_CheckExact(obj)  ? short_write_tuple(w, obj)
                   : PyList_CheckExact(obj) ? short_write_list(w, obj)
                   : PyDict_CheckExact(obj) ? short_write_dict(w, obj)
                                            : false;
    w->depth--;
    return written;
}

static bool short_write(struct short_writer *w, PyObject *obj)
{
    if (PyLong_CheckExact(obj))
        return short_write_int(w, obj);
    if (PyUnicode_CheckExact(obj))
        return short_write_str(w, obj);
    if (obj == Py_None || PyBool_Check(obj))
        return short_code(w, obj == Py_None ? 'N' : obj == Py_True ? 0x88 : 0x89);
    if (PyFloat_CheckExact(obj))
        return short_write_float(w, obj);
    if (PyBytes_CheckExact(obj))
        return short_write_sized(w, obj, 'C', 'B', PyBytes_AS_STRING(obj), PyBytes_GET_SIZE(obj));
    return short_write_container(w, obj);
}

static inline size_t short_write_all(struct short_writer *w, PyObject *obj, uint8_t *to, bool numbered)
{
    w->at = to;
    w->end = to + SHORT_SIZE;
    w->depth = w->names = w->containers = 0;
    w->repeated = false;
    w->numbered = numbered;
    *w->at++ = 0x80;
    *w->at++ = SHORT_PROTOCOL;
    return short_write(w, obj) && short_code(w, '.') ? (size_t)(w->at - to) : 0;
}

/* Writes the pickle of obj to `to`, which has room for SHORT_SIZE. Returns its length, or 0 if obj is not plain. */
static inline size_t short_dump(PyObject *obj, uint8_t *to)
{
    struct short_writer w;
    size_t size = short_write_all(&w, obj, to, false);
    return size == 0 && w.repeated ? short_write_all(&w, obj, to, true) : size;
}

/* The pickle of bytes, or of an ASCII string, that is too long for short_dump(). Writes what comes before the data, at
 * most SHORT_HEAD bytes, and says where the data is. A dot follows the data. Returns 0 for any other object. */
static inline size_t short_head(PyObject *obj, uint8_t *to, const char **data, size_t *size)
{
    bool text = PyUnicode_CheckExact(obj) && PyUnicode_IS_COMPACT_ASCII(obj);
    if (!text && !PyBytes_CheckExact(obj))
        return 0;
    size_t length = (size_t)(text ? PyUnicode_GET_LENGTH(obj) : PyBytes_GET_SIZE(obj));
    if (length < 256 || length > UINT32_MAX)
        return 0;
    *data = text ? (const char *)PyUnicode_DATA(obj) : PyBytes_AS_STRING(obj);
    *size = length;
    struct short_writer w;
    w.at = to;
    *w.at++ = 0x80;
    *w.at++ = SHORT_PROTOCOL;
    *w.at++ = text ? 'X' : 'B';
    short_number(&w, length, 4);
    return SHORT_HEAD;
}

#endif
