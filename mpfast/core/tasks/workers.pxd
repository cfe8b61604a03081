# SPDX-License-Identifier: MIT
from libc.stdint cimport uint32_t, uint64_t
from mpfast.core.family.waiting cimport spin_history
from mpfast.core.queue.queue cimport queue, queue_header
from mpfast.core.tasks.layout cimport pool_header

cdef extern from "core/tasks/workers.h" nogil:
    struct seat:
        queue *tasks
        queue *results
        pool_header *pool
        uint32_t number
        uint32_t pid
        spin_history history
    void ring_init(queue_header *h, uint64_t budget)
    pool_header *pool_map(const queue *tasks)
    void pool_unmap(pool_header *pool)
    void seat_starting(const seat *s)
    void seat_ready(const seat *s)
    void seat_leaving(const seat *s)
    uint32_t worker_look(const pool_header *pool, uint32_t number)
    void worker_prepare(pool_header *pool, uint32_t number)
    void worker_leave(queue *tasks, pool_header *pool, uint32_t number)
    bint workers_wake(queue *tasks, int n)
    void pool_leave(queue *tasks, pool_header *pool)
