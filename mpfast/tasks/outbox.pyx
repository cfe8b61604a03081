# SPDX-License-Identifier: MIT
# cython: language_level=3
"""Outbox: a worker's results on their way to the pool.

They lie in a block of the result ring that the worker fills. A result is safe as soon as it is counted, whatever happens
to the worker then. The pool is told of them when the worker puts the block.
"""

from libc.stdint cimport int64_t, uint32_t, uint64_t
from mpfast.channel.payload cimport payload, payload_immediate, payload_store
from mpfast.core.tasks.group cimport result_count, result_counted
from mpfast.core.tasks.layout cimport RESULT_CELLS, RESULT_START, result
from mpfast.core.tasks.results cimport result_of, result_payload, result_prepare, result_put
from mpfast.serialize.pickling cimport Pickling, done
from mpfast.tasks.parcel cimport CELL_ERROR, CELL_NOW, CELL_SKIPPED, cell, cell_of, measured, rounded

cdef uint32_t CELLS = 4000        # at most in a block
cdef size_t LARGE = 16384         # bytes of a result that has a block of its own
cdef size_t GUESS = 24            # bytes a result, for the room of those that are to come


cdef class Outbox:
    """The results of the worker that has a seat."""

    cdef int open(self, uint64_t job, uint64_t first, uint32_t room, size_t bytes) except -1:
        """Begins a block with room for so many cells and bytes."""
        cdef int rc
        cdef size_t size = room * sizeof(cell) + bytes
        self.ring.q()
        with nogil:
            rc = result_prepare(self.ring.view, size, RESULT_CELLS, job, first, &self.item)
        if rc < 0:
            self.ring.fails(rc, f"no memory for {size} bytes in")
        self.r = result_of(&self.item)
        self.room = room
        self.used = room * sizeof(cell)
        return 0

    cdef int fit(self, uint64_t job, uint64_t index, uint32_t left, size_t size) except -1:
        """Makes sure that there is a block with room for a result of that size. `left`: how many may follow."""
        cdef uint32_t room
        if self.r != NULL:
            if result_counted(&self.r.count) < self.room and \
                    self.used + size <= self.item.size - sizeof(result):
                return 0
            self.close(0)
        room = 1 if size > LARGE else min(left, CELLS)
        self.open(job, index, room, size if room == 1 else size + room * min(size, GUESS))
        return 0

    cdef int count(self, cell c) except -1:
        cdef uint32_t n = result_counted(&self.r.count)
        (<cell *>&self.r[1])[n] = c
        result_count(&self.r.count, n + 1)
        return 0

    cdef int add(self, uint64_t job, uint64_t index, uint32_t left, object value, uint32_t flags) except -1:
        """Adds the result of an element, or with CELL_ERROR its exception. Raises what pickling raises."""
        cdef payload p
        cdef Pickling pickling
        cdef int64_t number = 0
        cdef cell c
        if not flags and payload_immediate(value, &number):
            self.fit(job, index, left, 0)
            return self.count(cell_of(CELL_NOW, 0, <uint64_t>number))
        pickling = measured(value, &p)
        try:
            self.fit(job, index, left, p.size)
            payload_store(&p, pickling, <char *>&self.r[1] + self.used)
        finally:
            if pickling is not None:
                done(pickling)
        c = cell_of(p.kind | flags, p.size, self.used)
        self.used += rounded(p.size)
        return self.count(c)

    cdef int skip(self, uint64_t job, uint64_t index, uint32_t left) except -1:
        """Says that an element was not run."""
        self.fit(job, index, left, 0)
        return self.count(cell_of(CELL_SKIPPED, 0, 0))

    cdef int close(self, uint64_t elapsed) except -1:
        """Puts the block, if there is one. `elapsed`: nanoseconds that the results took."""
        if self.r == NULL:
            return 0
        self.r = NULL
        cdef int rc = result_put(self.seat, self.ring.view, &self.item, elapsed)
        if rc < 0:
            self.ring.fails(rc, "cannot put into")
        return 0

    cdef int refuse(self, object error) except -1:
        """Puts a block that says why this worker cannot start."""
        cdef payload p
        cdef Pickling pickling = measured(error, &p)
        cdef int rc
        try:
            rc = result_prepare(self.ring.q(), sizeof(cell) + p.size, RESULT_START, 0, 0, &self.item)
            if rc < 0:
                self.ring.fails(rc, "no memory in")
            payload_store(&p, pickling, result_payload(&self.item) + sizeof(cell))
        finally:
            if pickling is not None:
                done(pickling)
        self.r = result_of(&self.item)
        self.count(cell_of(p.kind | CELL_ERROR, p.size, sizeof(cell)))
        return self.close(0)
