# SPDX-License-Identifier: MIT
"""Memory of the family, and what is known of numbers' types, for the other extensions of this room."""

from libc.stdint cimport uint32_t
from mpfast.family.family cimport Handle
from mpfast.sync.mutex cimport Mutex
from mpfast.values.numbers cimport number_type


cdef class SharedBytes(Handle):
    cdef char *data
    cdef Py_ssize_t size
    cdef size_t mapped        # bytes of the slot's window, which this object has mapped
    cdef uint32_t block_class  # of its block in the heap. HEAP_CLASSES: it has none
    cdef uint32_t block

    cdef int take_block(self) except -1
    cdef int map_window(self) except -1
    cdef int point(self) except -1
    cdef int find_block(self, uint32_t block_class, uint32_t block) except -1
    cdef int check(self) except -1


cdef SharedBytes new_memory(Py_ssize_t size)
cdef SharedBytes memory_beside(Mutex lock, Py_ssize_t size)
cdef object new_object(object type, SharedBytes memory)
cdef bint look_up(object type, number_type *t) except -1
cdef char *data_of(object obj) except? NULL
cdef bint fill(object item_type, char *data, Py_ssize_t length, object source) except -1
