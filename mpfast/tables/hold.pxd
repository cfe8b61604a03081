# SPDX-License-Identifier: MIT
from libc.stdint cimport uint32_t
from mpfast.core.family.slots cimport slot_kind_t
from mpfast.core.locks.section cimport SECTION_TAKEN, section_leave
from mpfast.core.tables.table cimport table, table_form
from mpfast.sync.mutex cimport Mutex


cdef class WritersLock(Mutex):
    cdef table table   # the view
    cdef bint opened


    cdef int make(self, slot_kind_t kind, table_form form, str policy) except -1
    cdef int open(self, table_form form) except -1
    cdef int begin(self) except -1
    cdef int fails(self, int rc, str doing) except -1


cdef class SharedTable:
    cdef WritersLock lock   # None before __init__()
    cdef object __weakref__

    cdef WritersLock ready(self)


cdef inline void leave(WritersLock lock, int entered) noexcept nogil:
    """The end of what begin() has begun."""
    if entered == SECTION_TAKEN:
        section_leave(lock.family, &lock.table.header.lock)
