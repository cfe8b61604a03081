# SPDX-License-Identifier: MIT
"""Numbers of ctypes in shared memory, read and written without ctypes."""

from cpython.float cimport PyFloat_AS_DOUBLE, PyFloat_CheckExact
from cpython.long cimport PyLong_CheckExact
from libc.stdint cimport int64_t, uint64_t
from mpfast.core.values.number cimport *

cdef extern from "Python.h":
    uint64_t PyLong_AsUnsignedLongLongMask(object o) except? 0xffffffffffffffff


cdef enum number_kind:
    NUMBER_NONE  # nothing that is read and written here
    NUMBER_SIGNED
    NUMBER_UNSIGNED
    NUMBER_FLOAT


cdef struct number_type:
    number_kind kind
    int size
    char format[2]  # the native one of memoryview


cdef inline object number_object(uint64_t bits, const number_type *t):
    if t.kind == NUMBER_SIGNED:
        return number_extend(bits, t.size)
    if t.kind == NUMBER_UNSIGNED:
        return bits
    return number_double(bits, t.size)


cdef inline bint number_plain(object value, const number_type *t):
    """Is it converted here? What ctypes does with all other objects, and its errors, are its own."""
    return PyLong_CheckExact(value) and t.kind != NUMBER_FLOAT or PyFloat_CheckExact(value) and t.kind == NUMBER_FLOAT


cdef inline uint64_t number_of(object value, const number_type *t) except? 0xffffffffffffffff:
    """The bits of a number that is plain."""
    if t.kind == NUMBER_FLOAT:
        return number_bits(PyFloat_AS_DOUBLE(value), t.size)
    return PyLong_AsUnsignedLongLongMask(value)


cdef inline uint64_t operand_of(object value, const number_type *t) except? 0xffffffffffffffff:
    """The bits of an operand of a change. TypeError if it is no number of the kind."""
    if t.kind == NUMBER_FLOAT:
        return number_bits(value, t.size)
    return number_cut(PyLong_AsUnsignedLongLongMask(value), t.size)


cdef enum number_change:
    CHANGE_ADD
    CHANGE_SUB
    CHANGE_AND
    CHANGE_OR
    CHANGE_XOR
    CHANGE_SET


cdef inline uint64_t changed(uint64_t old, uint64_t n, const number_type *t, number_change change) noexcept nogil:
    """What a change makes of the bits of a number."""
    cdef double value
    if change == CHANGE_ADD or change == CHANGE_SUB:
        if t.kind != NUMBER_FLOAT:
            return old + n if change == CHANGE_ADD else old - n
        value = number_double(n, t.size)
        return number_bits(number_double(old, t.size) + (value if change == CHANGE_ADD else -value), t.size)
    if change == CHANGE_AND:
        return old & n
    if change == CHANGE_OR:
        return old | n
    return old ^ n if change == CHANGE_XOR else n


cdef inline int must_have(const number_type *t, str operation, bint integer) except -1:
    """TypeError unless a number of the type has the operation."""
    if t.kind == NUMBER_NONE or integer and t.kind == NUMBER_FLOAT:
        kind = "no number" if t.kind == NUMBER_NONE else "a float"
        raise TypeError(f"this is {kind}, and has no {operation}()")
    return 0
