# SPDX-License-Identifier: MIT
from libc.stdint cimport int64_t, uint64_t
from mpfast.core.tables.table cimport table, table_copy, table_room, table_value

cdef extern from "core/tables/dict_change.h":
    struct table_key_t "table_key":
        uint64_t hash
        uint64_t size
        const char *data
    table_key_t table_key(const table *t, const void *data, uint64_t size) nogil
    int dict_get(const table *t, const table_key_t *key, table_room *room) nogil
    int dict_contains(const table *t, const table_key_t *key) nogil
    int64_t dict_length(const table *t) nogil
    int dict_set(table *t, const table_key_t *key, const table_value *v) nogil
    int dict_set_default(table *t, const table_key_t *key, const table_value *v, table_room *room) nogil
    int dict_delete(table *t, const table_key_t *key) nogil
    int dict_pop(table *t, const table_key_t *key, table_room *room) nogil
    int dict_pop_last(table *t, table_room *key, table_room *value) nogil
    int dict_compare_exchange(table *t, const table_key_t *key, const table_value *old, const table_value *then) nogil
    int dict_add(table *t, const table_key_t *key, int64_t n, int64_t *sum) nogil
    int dict_clear(table *t) nogil

cdef extern from "core/tables/dict_copy.h":
    enum:
        TABLE_KEYS
        TABLE_VALUES
    int dict_copy(const table *t, unsigned what, table_copy *c) nogil
