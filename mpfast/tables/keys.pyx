# SPDX-License-Identifier: MIT
# cython: language_level=3
"""The keys of a shared Dict as bytes. Keys that are equal in Python have the same bytes, in all processes.

A key is None, a bool, an int, a float, a str, bytes, or a tuple of such. The bytes are compared, and nothing else. So a
bool and a float without a fraction are written as the int that they are equal to, within tuples too. Both zeros are 0.
A NaN equals nothing and is refused.

    key:  tag:8, then  int: 8 bytes, or more of two's complement | float: 8 | ASCII, bytes: data | other str: bytes a
          character:8, data | tuple: length:32, and for each item size:32, key

Subclasses are refused, as what iteration returns would be of another type than what was stored.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.float cimport PyFloat_AS_DOUBLE, PyFloat_FromDouble
from cpython.tuple cimport PyTuple_GET_SIZE
from libc.math cimport floor, isfinite, isnan
from libc.stdint cimport int64_t, uint32_t
from libc.string cimport memcpy

import reprlib
import sys

cdef extern from "Python.h":
    bint PyUnicode_IS_COMPACT_ASCII(object)
    Py_ssize_t PyUnicode_GET_LENGTH(object)
    void *PyUnicode_DATA(object)
    int PyUnicode_KIND(object)
    object PyUnicode_DecodeASCII(const char *data, Py_ssize_t size, const char *errors)
    object PyUnicode_FromKindAndData(int kind, const void *data, Py_ssize_t size)
    object PyUnicode_DecodeUTF32(const char *data, Py_ssize_t size, const char *errors, int *order)
    long long PyLong_AsLongLongAndOverflow(object, int *overflow) except? -1
    void Py_LeaveRecursiveCall()

cdef extern from *:
    """
    /* Before 3.12 Python's function says 1, and later -1. */
    static int enter_recursive_call(const char *where) { return Py_EnterRecursiveCall(where) ? -1 : 0; }
    """
    int enter_recursive_call(const char *where) except -1

cdef enum:
    KEY_NONE
    KEY_INT
    KEY_LONG   # an int of more than 64 bits
    KEY_FLOAT
    KEY_ASCII
    KEY_TEXT
    KEY_BYTES
    KEY_TUPLE

cdef double INT64 = 9223372036854775808.0
cdef size_t LONGEST = 0xffffffff  # of an item of a tuple


cdef object refused(object key, object part):
    whole = "" if part is key else f", which is in the key {reprlib.repr(key)}"
    return TypeError("a key is a str, bytes, an int, a float, a bool, None or a tuple of such, and no subclass: "
                     f"{reprlib.repr(part)} is of {type(part).__module__}.{type(part).__qualname__}{whole}")


cdef bint small(object key, int64_t *number) except -1:
    """Is it equal to an int of 64 bits? Of a bool, an int or a float."""
    cdef int overflow = 0
    cdef double real
    if type(key) is float:
        real = PyFloat_AS_DOUBLE(key)
        if not -INT64 <= real < INT64 or floor(real) != real:
            return False
        number[0] = <int64_t>real
        return True
    number[0] = PyLong_AsLongLongAndOverflow(key, &overflow)
    return overflow == 0


cdef inline bint whole(object key) noexcept:
    """Has this float no fraction? Then it is a large int."""
    cdef double real = PyFloat_AS_DOUBLE(key)
    return isfinite(real) and floor(real) == real


cdef inline size_t long_size(object key) except 0:
    return 1 + <size_t>(key.bit_length() // 8 + 1)


cdef size_t measure(object key, object of) except 0:
    """How many bytes it takes. TypeError or ValueError if it is no key. of: the key that it is a part of."""
    cdef int64_t number
    cdef object kind = type(key)
    if key is None:
        return 1
    if kind is str:
        if PyUnicode_IS_COMPACT_ASCII(key):
            return 1 + <size_t>PyUnicode_GET_LENGTH(key)
        return 2 + <size_t>PyUnicode_GET_LENGTH(key) * PyUnicode_KIND(key)
    if kind is bytes:
        return 1 + <size_t>PyBytes_GET_SIZE(key)
    if kind is tuple:
        return measure_tuple(key, of)
    if kind is float and isnan(PyFloat_AS_DOUBLE(key)):
        raise ValueError(f"nan is equal to nothing, so it can be no key: {reprlib.repr(of)}")
    if kind is not int and kind is not bool and kind is not float:
        raise refused(of, key)
    if small(key, &number):
        return 1 + sizeof(int64_t)
    if kind is float:
        return long_size(int(key)) if whole(key) else 1 + sizeof(double)
    return long_size(key)


cdef size_t measure_tuple(object key, object of) except 0:
    cdef size_t size = 1 + sizeof(uint32_t), each
    if <size_t>PyTuple_GET_SIZE(key) > LONGEST:
        raise OverflowError("a tuple is too long for a key")
    enter_recursive_call(" while a key is written")
    try:
        for part in <tuple>key:
            each = measure(part, of)
            if each > LONGEST:
                raise OverflowError(f"{each} bytes are too much for a part of a key")
            size += sizeof(uint32_t) + each
    finally:
        Py_LeaveRecursiveCall()
    return size


cdef char *put(char *to, char tag, const void *data, size_t size) noexcept:
    to[0] = tag
    memcpy(to + 1, data, size)
    return to + 1 + size


cdef char *write(object key, char *to) except NULL:
    """Writes what was measured. Returns where it ends."""
    cdef int64_t number
    cdef double real
    cdef object kind = type(key)
    if key is None:
        return put(to, KEY_NONE, b"", 0)
    if kind is str:
        return write_text(key, to)
    if kind is bytes:
        return put(to, KEY_BYTES, PyBytes_AS_STRING(key), PyBytes_GET_SIZE(key))
    if kind is tuple:
        return write_tuple(key, to)
    if small(key, &number):
        return put(to, KEY_INT, &number, sizeof(number))
    if kind is float and not whole(key):
        real = PyFloat_AS_DOUBLE(key)
        return put(to, KEY_FLOAT, &real, sizeof(real))
    number_bytes = int(key).to_bytes(long_size(int(key)) - 1, "little", signed=True)
    return put(to, KEY_LONG, PyBytes_AS_STRING(number_bytes), PyBytes_GET_SIZE(number_bytes))


cdef char *write_text(object key, char *to) noexcept:
    cdef size_t size = PyUnicode_GET_LENGTH(key)
    if PyUnicode_IS_COMPACT_ASCII(key):
        return put(to, KEY_ASCII, PyUnicode_DATA(key), size)
    to[0] = KEY_TEXT
    return put(to + 1, <char>PyUnicode_KIND(key), PyUnicode_DATA(key), size * PyUnicode_KIND(key))


cdef char *write_tuple(object key, char *to) except NULL:
    cdef uint32_t length = <uint32_t>PyTuple_GET_SIZE(key), size
    cdef char *end
    to = put(to, KEY_TUPLE, &length, sizeof(length))
    for part in <tuple>key:
        end = write(part, to + sizeof(size))
        size = <uint32_t>(end - to - sizeof(size))
        memcpy(to, &size, sizeof(size))
        to = end
    return to


cdef object key_dump(object key, key_bytes *k):
    """Writes a key. The bytes live as long as `k` and what this returns. Raises TypeError or ValueError."""
    cdef size_t size
    if type(key) is str and PyUnicode_IS_COMPACT_ASCII(key) and PyUnicode_GET_LENGTH(key) < KEY_ROOM:
        size = PyUnicode_GET_LENGTH(key)
        put(k.room, KEY_ASCII, PyUnicode_DATA(key), size)
        k.data, k.size = k.room, size + 1
        return None
    k.size = measure(key, key)
    if k.size <= KEY_ROOM:
        k.data = k.room
        write(key, k.room)
        return None
    kept = PyBytes_FromStringAndSize(NULL, k.size)
    k.data = PyBytes_AS_STRING(kept)
    write(key, PyBytes_AS_STRING(kept))
    return kept


cdef object damaged():
    return ValueError("damaged bytes of a key")


cdef object key_load(const char *data, size_t size):
    """The key that some bytes stand for, in its canonical form. ValueError if they stand for none."""
    cdef int64_t number
    cdef double real
    cdef char tag
    if size == 0:
        raise damaged()
    tag, data, size = data[0], data + 1, size - 1
    if tag == KEY_ASCII:
        return PyUnicode_DecodeASCII(data, size, NULL)
    if tag == KEY_INT and size == sizeof(number):
        memcpy(&number, data, sizeof(number))
        return number
    if tag == KEY_BYTES:
        return PyBytes_FromStringAndSize(data, size)
    if tag == KEY_TEXT and size > 0 and data[0] in (1, 2, 4) and (size - 1) % <size_t>data[0] == 0:
        return load_text(data[0], data + 1, size - 1)
    if tag == KEY_TUPLE and size >= sizeof(uint32_t):
        return load_tuple(data, size)
    if tag == KEY_NONE and size == 0:
        return None
    if tag == KEY_FLOAT and size == sizeof(real):
        memcpy(&real, data, sizeof(real))
        return PyFloat_FromDouble(real)
    if tag == KEY_LONG:
        return int.from_bytes(PyBytes_FromStringAndSize(data, size), "little", signed=True)
    raise damaged()


cdef object load_text(int kind, const char *data, size_t size):
    """A str. Its characters are copied to where they are aligned."""
    cdef int order = -1 if sys.byteorder == "little" else 1
    if kind == 4:
        return PyUnicode_DecodeUTF32(data, size, b"surrogatepass", &order)  # it looks whether they are characters
    aligned = PyBytes_FromStringAndSize(data, size)
    return PyUnicode_FromKindAndData(kind, PyBytes_AS_STRING(aligned), size // kind)


cdef object load_tuple(const char *data, size_t size):
    cdef uint32_t length, each
    cdef size_t at = sizeof(length)
    memcpy(&length, data, sizeof(length))
    if length > size // (sizeof(each) + 1):
        raise damaged()
    parts = []
    enter_recursive_call(" while a key is read")
    try:
        for _ in range(length):
            if size - at < sizeof(each):
                raise damaged()
            memcpy(&each, data + at, sizeof(each))
            at += sizeof(each)
            if each > size - at:
                raise damaged()
            parts.append(key_load(data + at, each))
            at += each
    finally:
        Py_LeaveRecursiveCall()
    if at != size:
        raise damaged()
    return tuple(parts)


def encoded(key):
    """The bytes of a key. TypeError or ValueError if it is none."""
    cdef key_bytes k
    kept = key_dump(key, &k)
    return PyBytes_FromStringAndSize(k.data, k.size) if kept is None else kept


def decoded(bytes data not None):
    """The key of some bytes. ValueError if they are no key's."""
    return key_load(PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data))
