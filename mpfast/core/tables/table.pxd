# SPDX-License-Identifier: MIT
from libc.stdint cimport int64_t, uint32_t, uint64_t
from mpfast.core.base.atomic cimport shared32
from mpfast.core.family.family cimport family
from mpfast.core.locks.lock cimport lock

cdef extern from "core/tables/map.h":
    enum:
        TABLE_KINDS
        TABLE_CONSTANT
        TABLE_INT
    enum table_form:
        TABLE_DICT
        TABLE_LIST
    struct table_header:
        lock lock
        shared32 repairs
    struct table:
        family *family
        table_header *header
        uint32_t slot
    struct table_value:
        uint32_t kind
        uint64_t size
        const void *data
        int64_t number
    struct table_room:
        void *data
        uint64_t room
        uint32_t kind
        uint64_t size
        int64_t number
    bint table_int_fits(int64_t n) nogil
    int table_open(family *f, uint32_t slot, table *t) nogil
    int table_init(table *t, table_form form, uint32_t policy) nogil
    int table_check(const table *t, table_form form) nogil
    int table_damaged(const table *t) nogil
    void table_close(table *t) nogil

cdef extern from "core/tables/copy.h":
    struct table_copy:
        uint64_t count
    bint copy_next(table_copy *c, table_value *v) nogil
    void copy_free(table_copy *c) nogil

cdef extern from "core/tables/stats.h":
    struct table_stats_t "table_stats":
        uint64_t live
        uint64_t used
        uint64_t index
        uint64_t bytes
        uint64_t idle
        uint32_t repairs
        bint broken
    void table_stats(const table *t, table_stats_t *s) nogil
