# SPDX-License-Identifier: MIT
from libc.stdint cimport int64_t, uint64_t
from mpfast.core.tables.table cimport table, table_value

cdef enum:
    MOST = 0x7fffffff  # items, which no list has
    DELETE = -1

cdef struct span:  # of items, as a slice says it
    Py_ssize_t start
    Py_ssize_t stop
    Py_ssize_t step
    Py_ssize_t length

cdef void adjust(span *s, int64_t length) noexcept nogil
cdef int unchanged(table *t, const table_value *values, uint64_t n) noexcept nogil
cdef int rewrite(table *t, span *s, const table_value *values, int64_t n) noexcept nogil
cdef int repeat(table *t, uint64_t times) noexcept nogil
