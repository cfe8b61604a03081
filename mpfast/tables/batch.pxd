# SPDX-License-Identifier: MIT
from libc.stdint cimport uint64_t
from mpfast.core.tables.dict cimport table_key_t
from mpfast.core.tables.table cimport table_copy, table_value

cdef enum:
    LARGE = 65536  # bytes from which other threads may run during a copy


cdef class Batch:
    cdef table_value *values
    cdef table_key_t *keys
    cdef uint64_t count, room, bytes
    cdef bint keyed
    cdef list kept

    cdef int grow(self) except -1
    cdef int add(self, object value) except -1
    cdef int add_stored(self, const table_value *v) except -1


cdef class Rows:
    cdef table_copy rows

    cdef Batch batch(self)
