/* SPDX-License-Identifier: MIT */
/* Loads pickles of small plain data, as shortdump.h and the stdlib's own pickler write them, without an unpickler.
 *
 * A stack of references, as pickle's. Anything unexpected, Python's errors included, means that the data is not plain.
 * Then pickle loads it, or says what is wrong. All objects are of exact types, keys too, so no Python code runs here. */
#ifndef MPFAST_SHORTLOAD_H
#define MPFAST_SHORTLOAD_H

#include "serialize/shortdump.h"

#define SHORT_LARGE 1024 /* bytes up to which it is tried */
#define SHORT_STACK 1024 /* as no opcode adds more than one */
#define SHORT_MEMO 64

struct short_reader {
    const uint8_t *at;
    const uint8_t *end;
    int count;
    int marks;
    PyObject *stack[SHORT_STACK];
    int mark[SHORT_DEPTH];
    int memos;
    PyObject *memo[SHORT_MEMO]; /* names. NULL for anything else */
};

static inline bool short_push(struct short_reader *r, PyObject *obj)
{
    if (obj == NULL)
        return false;
    if (r->count == SHORT_STACK) {
        Py_DECREF(obj);
        return false;
    }
    r->stack[r->count++] = obj;
    return true;
}

/* Takes so many bytes of the pickle. NULL if it has fewer. */
static inline const uint8_t *short_bytes(struct short_reader *r, size_t size)
{
    if ((size_t)(r->end - r->at) < size)
        return NULL;
    r->at += size;
    return r->at - size;
}

static inline bool short_read_int(struct short_reader *r, int size)
{
    const uint8_t *bytes = short_bytes(r, (size_t)size);
    uint32_t number = 0;
    for (int i = 0; bytes != NULL && i < size; i++)
        number |= (uint32_t)bytes[i] << 8 * i;
    return bytes != NULL && short_push(r, PyLong_FromLong(size == 4 ? (int32_t)number : (long)number));
}

static inline bool short_read_float(struct short_reader *r)
{
    const uint8_t *bytes = short_bytes(r, 8);
    uint64_t bits = 0;
    double number;
    for (int i = 0; bytes != NULL && i < 8; i++)
        bits = bits << 8 | bytes[i];
    memcpy(&number, &bits, sizeof number);
    return bytes != NULL && short_push(r, PyFloat_FromDouble(number));
}

static inline bool short_read_long(struct short_reader *r)
{
    const uint8_t *size = short_bytes(r, 1);
    const uint8_t *bytes = size == NULL || *size == 0 || *size > 8 ? NULL : short_bytes(r, *size);
    uint64_t number = 0;
    if (bytes == NULL)
        return false;
    for (int i = *size; i > 0; i--)
        number = number << 8 | bytes[i - 1];
    int unused = 64 - 8 * *size;
    return short_push(r, PyLong_FromLongLong((int64_t)(number << unused) >> unused));
}

static inline bool short_read_data(struct short_reader *r, bool text, size_t size)
{
    const char *data = (const char *)short_bytes(r, size);
    if (data == NULL)
        return false;
    return short_push(r, text ? PyUnicode_DecodeUTF8(data, (Py_ssize_t)size, "surrogatepass")
                              : PyBytes_FromStringAndSize(data, (Py_ssize_t)size));
}

static inline bool short_read_sized(struct short_reader *r, int code)
{
    const uint8_t *size = short_bytes(r, 1);
    return size != NULL && short_read_data(r, code == 0x8c, *size);
}

static inline bool short_read_large(struct short_reader *r, int code)
{
    const uint8_t *bytes = short_bytes(r, 4);
    size_t size = 0;
    for (int i = 0; bytes != NULL && i < 4; i++)
        size |= (size_t)bytes[i] << 8 * i;
    return bytes != NULL && short_read_data(r, code == 'X', size);
}

/* Takes what lies above the last mark, and the mark. */
static inline int short_above(struct short_reader *r) { return r->marks > 0 ? r->mark[--r->marks] : -1; }

/* Nothing below the last mark may be touched. */
static inline int short_floor(const struct short_reader *r) { return r->marks > 0 ? r->mark[r->marks - 1] : 0; }

static inline bool short_read_tuple(struct short_reader *r, int first)
{
    if (first < short_floor(r))
        return false;
    PyObject *tuple = PyTuple_New(r->count - first);
    if (tuple == NULL)
        return false;
    for (int i = first; i < r->count; i++)
        PyTuple_SET_ITEM(tuple, i - first, r->stack[i]);
    r->count = first;
    return short_push(r, tuple);
}

static inline bool short_read_list(struct short_reader *r)
{
    int first = short_above(r);
    if (first <= short_floor(r) || !PyList_CheckExact(r->stack[first - 1]) || PyList_GET_SIZE(r->stack[first - 1]) != 0)
        return false;
    PyObject *list = PyList_New(r->count - first);
    if (list == NULL)
        return false;
    for (int i = first; i < r->count; i++)
        PyList_SET_ITEM(list, i - first, r->stack[i]);
    r->count = first;
    Py_SETREF(r->stack[first - 1], list);
    return true;
}

static inline bool short_read_dict(struct short_reader *r)
{
    int first = short_above(r);
    if (first <= short_floor(r) || !PyDict_CheckExact(r->stack[first - 1]) || (r->count - first) % 2 != 0)
        return false;
    for (int i = first; i < r->count; i += 2) {
        if (PyDict_SetItem(r->stack[first - 1], r->stack[i], r->stack[i + 1]) < 0)
            return false;
    }
    while (r->count > first)
        Py_DECREF(r->stack[--r->count]);
    return true;
}

/* Only names can be asked for again. Containers that are in a message twice are left to pickle. */
static inline bool short_memoize(struct short_reader *r)
{
    if (r->count <= short_floor(r))
        return false;
    PyObject *top = r->stack[r->count - 1];
    if (r->memos < SHORT_MEMO)
        r->memo[r->memos++] = PyUnicode_CheckExact(top) || PyBytes_CheckExact(top) ? Py_NewRef(top) : NULL;
    return true;
}

static inline bool short_read_again(struct short_reader *r)
{
    const uint8_t *number = short_bytes(r, 1);
    if (number == NULL || *number >= r->memos || r->memo[*number] == NULL)
        return false;
    return short_push(r, Py_NewRef(r->memo[*number]));
}

static inline bool short_mark(struct short_reader *r)
{
    if (r->marks == SHORT_DEPTH)
        return false;
    r->mark[r->marks++] = r->count;
    return true;
}

static inline bool short_read(struct short_reader *r, int code)
{
    switch (code) {
    case 'K':
        return short_read_int(r, 1);
    case 'M':
        return short_read_int(r, 2);
    case 'J':
        return short_read_int(r, 4);
    case 'G':
        return short_read_float(r);
    case 'N':
        return short_push(r, Py_NewRef(Py_None));
    case 0x88:
        return short_push(r, Py_NewRef(Py_True));
    case 0x89:
        return short_push(r, Py_NewRef(Py_False));
    case 'C':
    case 0x8c:
        return short_read_sized(r, code);
    case '(':
        return short_mark(r);
    case ')':
        return short_push(r, PyTuple_New(0));
    case ']':
        return short_push(r, PyList_New(0));
    case '}':
        return short_push(r, PyDict_New());
    case 't': {
        int first = short_above(r);
        return first >= 0 && short_read_tuple(r, first);
    }
    case 0x85:
    case 0x86:
    case 0x87:
        return r->count >= code - 0x84 && short_read_tuple(r, r->count - (code - 0x84));
    case 'e':
        return short_read_list(r);
    case 'u':
        return short_read_dict(r);
    case 0x94:
        return short_memoize(r);
    case 'h':
        return short_read_again(r);
    case 0x8a:
        return short_read_long(r);
    case 'X':
    case 'B':
        return short_read_large(r, code);
    default:
        return false;
    }
}

/* Pickles as short_head() begins them, and the stdlib's. */
static inline PyObject *short_load_long(const uint8_t *data, size_t size)
{
    size_t length = 0;
    for (int i = 0; i < 4; i++)
        length |= (size_t)data[3 + i] << 8 * i;
    bool memoized = size > SHORT_HEAD + 1 && data[size - 2] == 0x94;
    if (length != size - SHORT_HEAD - 1 && !(memoized && length == size - SHORT_HEAD - 2))
        return NULL;
    const char *start = (const char *)data + SHORT_HEAD;
    PyObject *obj = data[2] == 'B' ? PyBytes_FromStringAndSize(start, (Py_ssize_t)length)
                                   : PyUnicode_DecodeUTF8(start, (Py_ssize_t)length, "surrogatepass");
    if (obj == NULL)
        PyErr_Clear();
    return obj;
}

/* Returns the object of a pickle, or NULL without an exception if it is not plain. */
static inline PyObject *short_load(const uint8_t *data, size_t size)
{
    struct short_reader r;
    r.at = data + 2, r.end = data + size, r.count = 0, r.marks = 0, r.memos = 0;
    if (size < 4 || data[0] != 0x80 || data[1] > SHORT_PROTOCOL || data[size - 1] != '.')
        return NULL;
    if (size > SHORT_HEAD && (data[2] == 'B' || data[2] == 'X'))
        return short_load_long(data, size);
    if (size > SHORT_LARGE)
        return NULL;
    if (data[2] == 0x95) { /* FRAME: pickle's own, around all of it */
        uint64_t length = 0;
        for (int i = 0; i < 8 && size > 11; i++)
            length |= (uint64_t)data[3 + i] << 8 * i;
        if (size <= 11 || length != size - 11)
            return NULL;
        r.at += 9;
    }
    bool good = true;
    while (good && r.at < r.end - 1)
        good = short_read(&r, *r.at++);
    while (r.memos > 0)
        Py_XDECREF(r.memo[--r.memos]);
    if (good && r.count == 1 && r.marks == 0 && r.at == r.end - 1)
        return r.stack[0];
    while (r.count > 0)
        Py_DECREF(r.stack[--r.count]);
    PyErr_Clear();
    return NULL;
}

#endif
