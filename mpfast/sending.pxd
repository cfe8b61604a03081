# SPDX-License-Identifier: MIT
from libc.stdint cimport uint8_t
from mpfast.core.wire cimport iovec
from mpfast.pickling cimport Pickling
from mpfast.receiving cimport Receiver


cdef class Sender(Receiver):
    cdef int served(self, bint begun) except -1
    cdef int push(self, iovec *parts, int count, int *first, bint *begun, int mode) except -1
    cdef int transmit(self, uint8_t *head, size_t headed, const char *data, size_t size, bint dotted) except -1
    cdef Pickling pickle(self, obj)
    cdef int send_pickled(self, obj) except -1
    cdef int send_data(self, const char *data, size_t size) except -1
    cdef int send_buffer(self, buf, offset, size) except -1
