# SPDX-License-Identifier: MIT
# cython: language_level=3
"""The values of a shared Dict or List as bytes, and back.

None, bools and ints of up to 61 bits are a number, which lies in a word of the table. All else is what it is in a queue
(channel/payload.pyx). It is written to memory of this process first. So pickling is over, and no buffer is asked for its
bytes any more, when the lock is taken.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport int64_t, uint32_t, uint64_t
from mpfast.channel.payload cimport *
from mpfast.core.tables.table cimport TABLE_CONSTANT, TABLE_INT, table_int_fits, table_room, table_value
from mpfast.serialize.pickling cimport Pickling, done, replaced

cdef extern from "Python.h":
    long long PyLong_AsLongLongAndOverflow(object, int *overflow) except? -1

cdef enum:
    CONSTANT_NONE
    CONSTANT_FALSE
    CONSTANT_TRUE


cdef bint small(object value, table_value *v) except -1:
    """Is it one that lies in a word?"""
    cdef int overflow = 0
    if type(value) is int:
        v.kind, v.number = TABLE_INT, PyLong_AsLongLongAndOverflow(value, &overflow)
        return not overflow and table_int_fits(v.number)
    v.kind = TABLE_CONSTANT
    if value is None:
        v.number = CONSTANT_NONE
    elif value is True:
        v.number = CONSTANT_TRUE
    elif value is False:
        v.number = CONSTANT_FALSE
    else:
        return False
    return True


cdef object value_dump(object value, table_value *v, payload *p):
    """Writes a value. The bytes live as long as `p`, the value, and what this returns. Raises what pickling it raises."""
    cdef Pickling pickling
    cdef object pickler = replaced(place)
    v.size = 0
    if pickler is None:
        if small(value, v):
            return None
        pickling = payload_measure(value, p)
    else:
        pickling = payload_measure_by(pickler, value, p)
    v.kind, v.data, v.size = p.kind, p.data, p.size
    if pickling is None:
        return None
    try:
        kept = PyBytes_FromStringAndSize(NULL, p.size)
        payload_store(p, pickling, PyBytes_AS_STRING(kept))
    finally:
        done(pickling)
    v.data = PyBytes_AS_STRING(kept)
    return kept


cdef object value_dump_apart(object value, table_value *v):
    """As value_dump(), but the bytes live as long as what this returns, and as nothing else."""
    cdef payload p
    kept = value_dump(value, v, &p)
    if kept is not None or v.size == 0:
        return kept
    if v.data == <const void *>p.data and type(value) in (bytes, str):
        return value
    kept = PyBytes_FromStringAndSize(<const char *>v.data, v.size)
    v.data = PyBytes_AS_STRING(kept)
    return kept


cdef object value_load(uint32_t kind, const void *data, uint64_t size, int64_t number, object source):
    """The value of some bytes of this process, and a copy of them. `source` is named if they are damaged."""
    if kind == TABLE_INT:
        return number
    if kind == TABLE_CONSTANT:
        return None if number == CONSTANT_NONE else number == CONSTANT_TRUE
    return payload_load(kind, <const char *>data, size, None, source)


cdef object room_more(table_room *r):
    """Makes room for what did not fit. The bytes that this returns have it."""
    kept = PyBytes_FromStringAndSize(NULL, r.size)
    r.data, r.room = PyBytes_AS_STRING(kept), r.size
    return kept


cdef object room_load(const table_room *r, object kept, object source):
    """The value that was copied to the room. kept: what room_more() gave, or None."""
    if kept is not None and r.kind == PAYLOAD_BYTES and r.size == <uint64_t>PyBytes_GET_SIZE(kept):
        return kept
    return value_load(r.kind, r.data, r.size, r.number, source)
