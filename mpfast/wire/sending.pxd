# SPDX-License-Identifier: MIT
from libc.stdint cimport uint8_t, uint32_t
from mpfast.core.wire.wire cimport iovec
from mpfast.serialize.pickling cimport Pickling
from mpfast.wire.receiving cimport Receiver


cdef class Outgoing:
    cdef iovec *parts
    cdef int first       # parts before it have been written
    cdef int count
    cdef bint begun      # has any of it been written?
    cdef uint8_t head[16]
    cdef uint8_t *table  # of the lengths of the buffers
    cdef Py_buffer *views
    cdef int viewed
    cdef Pickling pickling  # keeps what the parts point to

    cdef void release(self) noexcept
    cdef int finish(self) except -1
    cdef int add(self, thing) except -1
    cdef int fill(self) except -1


cdef class Sender(Receiver):
    cdef Outgoing unfinished        # what an asend() has begun. The next sender sends the rest first
    cdef uint32_t unfinished_epoch  # in a forked child it is not valid

    cdef int served(self) except -1
    cdef int settle(self, int mode) except -1
    cdef int send_parts(self, iovec *parts, int count, bint large) except -1
    cdef bint go_on(self, Outgoing out) except -1
    cdef int push(self, iovec *parts, int count, int *first, bint *begun, int mode) except -1
    cdef int transmit(self, uint8_t *head, size_t headed, const char *data, size_t size, bint dotted) except -1
    cdef Pickling pickle(self, obj)
    cdef int send_pickled(self, obj) except -1
    cdef int send_data(self, const char *data, size_t size) except -1
    cdef int send_buffer(self, buf, offset, size) except -1
