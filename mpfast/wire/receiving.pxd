# SPDX-License-Identifier: MIT
from libc.stdint cimport uint8_t, uint32_t
from mpfast.core.wire.framing cimport frame
from mpfast.core.wire.wire cimport wire_history
from mpfast.wire.wire cimport Wire


cdef class Receiver(Wire):
    cdef wire_history history
    cdef bint tried    # just now, in vain
    cdef frame frame   # the message that is coming in, its header,
    cdef object table  # the lengths of its buffers,
    cdef object part   # what is being filled,
    cdef size_t done   # so far,
    cdef list parts    # and what is full

    cdef int pull(self, uint8_t *to, size_t size, size_t *done, size_t start, int mode) except -1
    cdef int wait_for_more(self, int rc, uint8_t *to, size_t size, size_t *done) except? -1
    cdef int ended(self, bint between) except -1
    cdef forget(self)
    cdef int bad_length(self) except -1
    cdef bint header(self, int mode) except -1
    cdef object take(self, int mode, limit, bint spare)
    cdef object take_buffers(self, int mode, limit)
    cdef bint take_table(self, size_t size, int mode, limit) except -1
    cdef int allocate(self, size_t size, bint plain) except -1
    cdef object announced(self)
    cdef object message(self, limit, bint spare)
    cdef size_t receive_into(self, uint8_t *to, size_t room) except? 0
    cdef int keep(self, const uint8_t *had, size_t done, size_t size) except -1
