# SPDX-License-Identifier: MIT
from libc.stdint cimport int64_t, uint32_t, uint64_t
from mpfast.channel.payload cimport payload
from mpfast.core.tables.table cimport table_room, table_value

cdef enum:
    SMALL_ROOM = 1024  # bytes of a value that is read to the stack

cdef object value_dump(object value, table_value *v, payload *p)
cdef object value_dump_apart(object value, table_value *v)
cdef object value_load(uint32_t kind, const void *data, uint64_t size, int64_t number, object source)
cdef object room_more(table_room *r)
cdef object room_load(const table_room *r, object kept, object source)
