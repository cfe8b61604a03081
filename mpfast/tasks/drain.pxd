# SPDX-License-Identifier: MIT
from libc.stdint cimport int64_t, uint32_t, uint64_t
from mpfast.core.store.item cimport store_item
from mpfast.tasks.desk cimport Desk, Job


cdef class Drain(Desk):
    cdef uint64_t struck_block  # the cell whose unpickling was interrupted last,
    cdef uint32_t struck_cell
    cdef int strikes            # and how often in a row

    cdef int wait_on(self, Job job, int64_t deadline) except -1
    cdef int drain_for(self, Job job, int64_t deadline) except -1
    cdef int drain(self, Job job, int64_t deadline) except -1
    cdef int take_along(self) except -1
    cdef int stand_in_line(self, Job job, int64_t deadline) except -1
    cdef bint is_butler(self)
    cdef int lay_down(self) except -1
    cdef int run_errands(self) except -1
    cdef int fill_places(self) except -1
    cdef int leave_places(self) except -1
    cdef bint wait_a_little(self, int64_t deadline) except -1
    cdef int take(self, store_item *item) except -1
    cdef int deliver_all(self) except -1
    cdef int deliver(self, store_item *item) except -1
    cdef int deliver_from(self, store_item *item, uint32_t at) except -1
    cdef int feed_more(self, Job job) except -1
    cdef object value_of(self, const store_item *item, uint32_t i, bint *failed)
    cdef int sleep(self, int64_t deadline) except -1
    cdef void silence(self)
    cdef bint always_interrupts(self, uint64_t block, uint32_t i)
    cdef object unloadable(self, object error, bint *failed)
    cdef object reloaded(self, const store_item *item, uint32_t i, bint *failed, object interrupt)
    cdef bint wanted(self)
    cdef bint is_due(self)
    cdef object until_due(self)
    cdef int rest(self) except -1
