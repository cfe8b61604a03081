# SPDX-License-Identifier: MIT
"""What receiving.pyx and sending.pyx build on."""

from libc.stdint cimport uint32_t
from mpfast.core.wire.turn cimport turn, users
from mpfast.core.wire.wire cimport wire_kind
from mpfast.serialize.pickling cimport Place

cdef Place place  # where a program may replace the pickler of connections


cdef class Wire:
    cdef int fd              # -1: closed
    cdef int open_fd         # is closed when no thread uses it any more
    cdef users users
    cdef wire_kind kind
    cdef bint reads
    cdef bint writes
    cdef bint sends_buffers  # is the other end known to be one of ours?
    cdef bint takes_buffers
    cdef bint paired         # made by Pipe(), so it was ours. But other code may have taken its descriptor
    cdef bint exposed
    cdef bint torn           # a message was cut off in the middle, so nothing can follow it
    cdef int greeting        # not 0 until it has shown whether the other end is one of ours
    cdef turn reading
    cdef turn writing
    cdef public set _watching  # event loops in which a coroutine waits, see aio.py
    cdef public object _lines

    cdef place(self, int fd, bint readable, bint writable)
    cdef int shut(self) except -1
    cdef int release(self) except -1
    cdef int orphaned(self, turn *t) except -1
    cdef bint begin_now(self, turn *t) except -1
    cdef int begin(self, turn *t) except -1
    cdef int end(self, turn *t) except -1
    cdef int check_read(self) except -1
    cdef int check_write(self) except -1
    cdef int met(self, message, bint longer) except -1
    cdef bint greet(self, const char *data, size_t size)
