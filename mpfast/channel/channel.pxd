# SPDX-License-Identifier: MIT
from libc.stdint cimport int64_t, uint64_t
from mpfast.core.queue.queue cimport queue, queue_end
from mpfast.core.store.item cimport store_item
from mpfast.core.family.waiting cimport waiting
from mpfast.family.family cimport Handle
from mpfast.channel.payload cimport payload
from mpfast.serialize.pickling cimport Pickling

cdef object NOTHING


cdef class Channel(Handle):
    cdef queue *view     # NULL until the first use
    cdef bint zero_copy
    cdef bint watched    # the descriptor of _reader was asked for
    cdef int taking      # threads that wait for an item

    cdef queue *q(self) except NULL
    cdef int fails(self, int rc, str doing) except -1
    cdef int no_bell(self, int rc) except -1
    cdef int pause(self, queue_end what, waiting *w) except -1
    cdef int put_value(self, uint64_t value, int64_t deadline) except -1
    cdef int put_payload(self, payload *p, Pickling pickling, int64_t deadline) except -1
    cdef int prepare(self, payload *p, int64_t deadline, store_item *item) except -1
    cdef int store_and_commit(self, payload *p, Pickling pickling, int64_t deadline) except -1
    cdef int commit(self, const store_item *item, int64_t deadline) except -1
    cdef int commit_slowly(self, const store_item *item, int64_t deadline) except? -1
    cdef take(self, int64_t deadline)
    cdef int take_slowly(self, store_item *item, int64_t deadline) except? -1
    cdef int take_aside(self, store_item *item, waiting *w) except? -1
    cdef object load(self, store_item *item)
    cdef bint poll(self, int64_t deadline) except -1
    cdef int join(self) except -1
    cdef int shutdown(self, bint immediate) except -1
    cdef stats(self)
    cdef int fileno(self) except -1
    cdef bint look_again(self) except -1
