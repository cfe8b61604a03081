/* SPDX-License-Identifier: MIT */
/* Pickles small plain data without a pickler, because making and using one costs more than the wire. Plain data is
 * numbers, strings, bytes, and the tuples, lists and dicts of them.
 *
 * What is written is a pickle that every unpickler can load. The stdlib's pickletools describes the opcodes. Everything
 * else is left to pickle: objects of any other type, and objects that may be in the message twice, because pickle keeps
 * those one object. (No reducer is passed over. Pickle asks none for objects of exactly these types.) */
#ifndef MPFAST_SHORTDUMP_H
#define MPFAST_SHORTDUMP_H

#include <Python.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define SHORT_SIZE 512 /* of a pickle */
#define SHORT_DEPTH 8  /* containers in containers */
#define SHORT_ITEMS 64 /* on the stack when it is loaded */
#define SHORT_NAMES 32 /* strings and bytes that are written */
#define SHORT_PROTOCOL 5
#define SHORT_HEAD 7

struct short_writer {
    uint8_t *at;
    uint8_t *end;
    int depth;
    int names;
    PyObject *seen[SHORT_NAMES];
};

static bool short_write(struct short_writer *w, PyObject *obj, bool outermost);

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
    if (overflow || number != (int32_t)number || !short_room(w, 5))
        return false;
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

/* Is it here for the first time? */
static inline bool short_new_name(struct short_writer *w, PyObject *obj)
{
    for (int i = 0; i < w->names; i++)
        if (w->seen[i] == obj)
            return false;
    if (w->names == SHORT_NAMES)
        return false;
    w->seen[w->names++] = obj;
    return true;
}

static inline bool short_write_sized(struct short_writer *w, PyObject *obj, int code, const char *data, Py_ssize_t size)
{
    if (size > 255 || !short_room(w, size + 2) ||
        (size > 1 && !short_new_name(w, obj))) /* Python has each of the short once */
        return false;
    *w->at++ = (uint8_t)code;
    *w->at++ = (uint8_t)size;
    memcpy(w->at, data, (size_t)size);
    w->at += size;
    return true;
}

static inline bool short_write_str(struct short_writer *w, PyObject *obj)
{
    if (!PyUnicode_IS_COMPACT_ASCII(obj))
        return false;
    return short_write_sized(w, obj, 0x8c, (const char *)PyUnicode_DATA(obj), PyUnicode_GET_LENGTH(obj));
}

static inline bool short_write_list(struct short_writer *w, PyObject *obj)
{
    if (!short_code(w, ']'))
        return false;
    if (PyList_GET_SIZE(obj) == 0)
        return true;
    if (PyList_GET_SIZE(obj) > SHORT_ITEMS || !short_code(w, '('))
        return false;
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(obj); i++)
        if (!short_write(w, PyList_GET_ITEM(obj, i), false))
            return false;
    return short_code(w, 'e');
}

static inline bool short_write_tuple(struct short_writer *w, PyObject *obj)
{
    Py_ssize_t size = PyTuple_GET_SIZE(obj);
    if (size == 0)
        return short_code(w, ')');
    if (size > SHORT_ITEMS || (size > 3 && !short_code(w, '(')))
        return false;
    for (Py_ssize_t i = 0; i < size; i++)
        if (!short_write(w, PyTuple_GET_ITEM(obj, i), false))
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
    if (PyDict_GET_SIZE(obj) > SHORT_ITEMS / 2 || !short_code(w, '('))
        return false;
    while (PyDict_Next(obj, &at, &key, &value))
        if (!short_write(w, key, false) || !short_write(w, value, false))
            return false;
    return short_code(w, 'u');
}

/* A container with one reference is referred to by the container around it, and by nothing else in the message. The
 * outermost one has more references. It is not inside itself, because everything in it has one. */
static inline bool short_write_container(struct short_writer *w, PyObject *obj, bool outermost)
{
    bool empty = PyTuple_CheckExact(obj) && PyTuple_GET_SIZE(obj) == 0; /* there is only one */
    if ((!outermost && !empty && Py_REFCNT(obj) != 1) || w->depth == SHORT_DEPTH)
        return false;
    w->depth++;
    bool written = PyTuple_CheckExact(obj)  ? short_write_tuple(w, obj)
                   : PyList_CheckExact(obj) ? short_write_list(w, obj)
                   : PyDict_CheckExact(obj) ? short_write_dict(w, obj)
                                            : false;
    w->depth--;
    return written;
}

static bool short_write(struct short_writer *w, PyObject *obj, bool outermost)
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
        return short_write_sized(w, obj, 'C', PyBytes_AS_STRING(obj), PyBytes_GET_SIZE(obj));
    return short_write_container(w, obj, outermost);
}

/* Writes the pickle of obj to `to`, which has room for SHORT_SIZE. Returns its length, or 0 if obj is not plain. */
static inline size_t short_dump(PyObject *obj, uint8_t *to)
{
    struct short_writer w = {.at = to, .end = to + SHORT_SIZE};
    *w.at++ = 0x80;
    *w.at++ = SHORT_PROTOCOL;
    return short_write(&w, obj, true) && short_code(&w, '.') ? (size_t)(w.at - to) : 0;
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
    struct short_writer w = {.at = to};
    *w.at++ = 0x80;
    *w.at++ = SHORT_PROTOCOL;
    *w.at++ = text ? 'X' : 'B';
    short_number(&w, length, 4);
    return SHORT_HEAD;
}

#endif
