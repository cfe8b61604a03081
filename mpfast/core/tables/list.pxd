# SPDX-License-Identifier: MIT
from libc.stdint cimport int64_t, uint64_t
from mpfast.core.tables.table cimport table, table_copy, table_room, table_value

cdef extern from "core/tables/list_change.h":
    int list_get(const table *t, int64_t i, table_room *room) nogil
    int64_t list_length(const table *t) nogil
    int list_copy(const table *t, int64_t start, int64_t stop, table_copy *c) nogil
    int list_set(table *t, int64_t i, const table_value *v) nogil
    int list_append(table *t, const table_value *v) nogil
    int list_extend(table *t, const table_value *values, uint64_t n) nogil
    int list_pop(table *t, int64_t i, table_room *room) nogil
    int list_splice(table *t, uint64_t at, uint64_t gone, const table_value *values, uint64_t n) nogil
    int list_reverse(table *t) nogil
