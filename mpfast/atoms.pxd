# SPDX-License-Identifier: MIT
"""The pickles of single numbers, bytes and strings, written and read without a pickler: it costs as much as the wire.

What is written is protocol 5, and what is not recognized when it is read is left to pickle. No reducer is passed over:
pickle does not ask any for objects of exactly these types.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.float cimport PyFloat_AS_DOUBLE
from libc.stdint cimport int32_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy

cdef extern from "Python.h":
    bint PyUnicode_IS_COMPACT_ASCII(object)
    Py_ssize_t PyUnicode_GET_LENGTH(object)
    const char *PyUnicode_DATA "(const char *)PyUnicode_DATA"(object)
    object PyUnicode_DecodeUTF8(const char *data, Py_ssize_t size, const char *errors)
    long long PyLong_AsLongLongAndOverflow(object, int *overflow) except? -1

cdef enum:
    ATOM_HEAD = 16  # bytes that come before the data, at most
    PROTOCOL = 5


cdef inline void put_number(uint8_t *to, uint64_t number, int size) noexcept:
    """Little-endian."""
    cdef int i
    for i in range(size):
        to[i] = <uint8_t>(number >> 8 * i & 0xff)


cdef inline uint64_t number_at(const uint8_t *data, int size) noexcept:
    cdef uint64_t number = 0
    cdef int i
    for i in range(size):
        number |= <uint64_t>data[i] << 8 * i
    return number


cdef inline int sized(uint8_t *head, char short, char long, size_t size) noexcept:
    """The opcode of what has so many bytes, and their number."""
    if size < 256:
        head[2], head[3] = <uint8_t>short, <uint8_t>size
        return 4
    if size > <size_t>0xffffffff:
        return 0
    head[2] = <uint8_t>long
    put_number(head + 3, size, 4)
    return 7


cdef inline int integer(obj, uint8_t *head) except -1:
    cdef int overflow = 0
    cdef long long number = PyLong_AsLongLongAndOverflow(obj, &overflow)
    cdef int size
    if overflow or number != <int32_t>number:
        return 0
    size = 1 if 0 <= number < 256 else 2 if 0 <= number < 65536 else 4
    head[2] = b"K" if size == 1 else b"M" if size == 2 else b"J"
    put_number(head + 3, <uint32_t>number, size)
    return 3 + size


cdef inline int atom_head(obj, uint8_t *head, const char **data, size_t *size) except -1:
    """What comes before the object's data in its pickle, and where they are; one dot follows. 0: not such an object."""
    head[0], head[1] = 0x80, PROTOCOL
    size[0] = 0
    if type(obj) is int:
        return integer(obj, head)
    if type(obj) is bytes:
        data[0], size[0] = PyBytes_AS_STRING(obj), PyBytes_GET_SIZE(obj)
        return sized(head, b"C", b"B", size[0])
    if type(obj) is str:
        if not PyUnicode_IS_COMPACT_ASCII(obj):
            return 0
        data[0], size[0] = PyUnicode_DATA(obj), PyUnicode_GET_LENGTH(obj)
        return sized(head, 0x8c, b"X", size[0])
    if obj is None or obj is True or obj is False:
        head[2] = b"N" if obj is None else 0x88 if obj is True else 0x89
        return 3
    return 0


cdef inline object atom_load(message, bint *found):
    """The object, if the message is a pickle such as atom_head() begins."""
    cdef const uint8_t *p = <const uint8_t *>PyBytes_AS_STRING(message)
    cdef size_t size = PyBytes_GET_SIZE(message), length, start
    found[0] = False
    if size < 4 or p[0] != 0x80 or p[1] > PROTOCOL or p[size - 1] != b".":
        return None
    found[0] = True
    if size == 5 and p[2] == b"K":
        return p[3]
    if size == 6 and p[2] == b"M":
        return number_at(p + 3, 2)
    if size == 8 and p[2] == b"J":
        return <int32_t>number_at(p + 3, 4)
    if size == 4 and p[2] == b"N":
        return None
    if size == 4 and p[2] in (0x88, 0x89):
        return p[2] == 0x88
    start = 4 if p[2] in (b"C", 0x8c) else 7 if p[2] in (b"B", b"X") else size
    if start < size:
        length = number_at(p + 3, <int>start - 3)
        if length == size - start - 1:
            if p[2] in (b"C", b"B"):
                return PyBytes_FromStringAndSize(<const char *>p + start, length)
            return PyUnicode_DecodeUTF8(<const char *>p + start, length, b"surrogatepass")
    found[0] = False
    return None
