# SPDX-License-Identifier: MIT
"""Lock and RLock for conditions.pyx, which waits with one of them in hand."""

from libc.stdint cimport int64_t, uint32_t
from mpfast.core.locks.lock cimport suspicion
from mpfast.family.family cimport Handle


cdef class Mutex(Handle):
    cdef suspicion suspicion

    cdef int enter(self, uint32_t identity, int64_t deadline) except -1
    cdef int contend(self, uint32_t identity, block, timeout) except -1
    cdef int inherit(self, uint32_t identity) except -1
    cdef int await_section(self, uint32_t identity) except -1
    cdef int inherit_section(self, uint32_t identity) except -1
    cdef int take(self) except -1
    cdef int give(self) except -1
    cdef str owner(self)
