# SPDX-License-Identifier: MIT
from libc.stdint cimport uint32_t, uint64_t
from mpfast.core.store.item cimport store_item
from mpfast.core.tasks.layout cimport result
from mpfast.core.tasks.workers cimport seat
from mpfast.tasks.parcel cimport cell
from mpfast.tasks.rings cimport Ring


cdef class Outbox:
    cdef Ring ring
    cdef store_item item
    cdef result *r       # NULL: no block is open
    cdef const seat *seat
    cdef uint32_t room   # cells
    cdef size_t used     # bytes, from the first cell on

    cdef int add(self, uint64_t job, uint64_t index, uint32_t left, object value, uint32_t flags) except -1
    cdef int skip(self, uint64_t job, uint64_t index, uint32_t left) except -1
    cdef int close(self, uint64_t elapsed) except -1
    cdef int open(self, uint64_t job, uint64_t first, uint32_t room, size_t bytes) except -1
    cdef int fit(self, uint64_t job, uint64_t index, uint32_t left, size_t size) except -1
    cdef int count(self, cell c) except -1
    cdef int refuse(self, object error) except -1
