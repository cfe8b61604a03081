# SPDX-License-Identifier: MIT
from libc.stdint cimport int64_t, uint32_t, uint64_t
from mpfast.core.store.item cimport store_item
from mpfast.core.tasks.layout cimport task
from mpfast.tasks.desk cimport Job, Many
from mpfast.tasks.drain cimport Drain


cdef class Engine(Drain):
    cdef int settle_results(self, uint32_t identity) except -1
    cdef int settle_tasks(self, uint32_t identity, dict dead) except -1
    cdef int settle_group(self, store_item *item, dict dead) except -1
    cdef int recall_job(self, Many job) except -1
    cdef int recall_group(self, Many job, task *t) except -1
    cdef int peek(self) except -1
    cdef int peek_into(self, store_item *item, uint32_t n) except -1
    cdef int strike(self, uint32_t pid) except -1
    cdef int64_t due(self, uint64_t name, int64_t now) except -1
    cdef bint recallable(self, Many job, task *t)
    cdef object epitaph(self, Job job, task *t, uint32_t element, dict dead)
