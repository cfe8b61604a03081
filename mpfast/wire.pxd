# SPDX-License-Identifier: MIT
"""One end of a pipe or socket, and a message on its way out."""

from cpython.buffer cimport Py_buffer
from libc.stdint cimport uint8_t, uint32_t
from mpfast.core.framing cimport frame
from mpfast.core.turn cimport turn, users
from mpfast.core.wire cimport iovec, wire_history, wire_kind
from mpfast.pickling cimport Pickling


cdef class Outgoing:
    cdef iovec *parts
    cdef int first           # parts before it have been written
    cdef int count
    cdef bint begun          # has any of it been written?
    cdef uint8_t head[16]
    cdef uint8_t *table      # of the lengths of the buffers
    cdef Py_buffer *views
    cdef int viewed
    cdef Pickling pickling   # keeps what the parts point to

    cdef int add(self, thing) except -1


cdef class Wire:
    cdef int fd              # -1: closed
    cdef int open_fd         # is closed when no thread uses it any more
    cdef users users
    cdef wire_kind kind
    cdef bint reads
    cdef bint writes
    cdef bint sends_buffers  # is the other end known to be one of ours?
    cdef bint takes_buffers
    cdef bint paired         # by Pipe(): it was ours, but somebody may have taken its descriptor
    cdef bint exposed
    cdef bint torn           # a message was cut off in the middle: nothing can follow it
    cdef int greeting        # see greet()
    cdef turn reading
    cdef turn writing
    cdef wire_history history
    cdef frame frame         # the message that is coming in: its header,
    cdef object table        # the lengths of its buffers,
    cdef object part         # what is being filled,
    cdef size_t done         # so far,
    cdef list parts          # and what is full
    cdef public set _watching  # event loops in which somebody waits: connection_aio.py
    cdef public object _lines

    cdef place(self, int fd, bint readable, bint writable)
    cdef int begin(self, turn *t) except -1
    cdef int end(self, turn *t) except -1
    cdef int shut(self) except -1
    cdef int release(self) except -1
    cdef int check_read(self) except -1
    cdef int check_write(self) except -1
    cdef int pull(self, uint8_t *to, size_t size, size_t *done, size_t start, int mode) except -1
    cdef int ended(self, bint between) except -1
    cdef forget(self)
    cdef int bad_length(self) except -1
    cdef bint header(self, int mode) except -1
    cdef object take(self, int mode, limit)
    cdef object take_buffers(self, int mode, limit)
    cdef object announced(self, uint32_t count)
    cdef int allocate(self, size_t size, bint plain) except -1
    cdef object message(self, limit)
    cdef size_t receive_into(self, uint8_t *to, size_t room) except? 0
    cdef int met(self, message) except -1
    cdef bint greet(self, const char *data, size_t size)
    cdef int served(self, bint begun) except -1
    cdef int push(self, iovec *parts, int count, int *first, bint *begun, int mode) except -1
    cdef int transmit(self, const char *data, size_t size, bint longer) except -1
    cdef Pickling pickle(self, obj)
    cdef int send_buffer(self, buf, offset, size) except -1
