# SPDX-License-Identifier: MIT
from libc.stdint cimport uint32_t, uint64_t
from mpfast.core.family.waiting cimport waiting
from mpfast.core.queue.queue cimport queue
from mpfast.core.store.item cimport store_item
from mpfast.core.tasks.layout cimport task
from mpfast.core.tasks.ledger cimport block_walk
from mpfast.core.tasks.workers cimport seat

cdef extern from "core/tasks/tasks.h" nogil:
    enum task_place:
        TASK_FREE
        TASK_QUEUED
        TASK_TAKEN
        TASK_LOST
    task *task_of(const store_item *item)
    int task_prepare(queue *tasks, uint64_t size, store_item *item)
    int task_deal(queue *tasks, const store_item *item, uint32_t next, uint32_t end)
    void task_free(queue *tasks, const store_item *item)
    int task_take(const seat *s, store_item *item)
    void task_loading(task *t)
    void task_loaded(task *t)
    void task_waits(seat *s, waiting *w)
    int task_wait(seat *s, waiting *w)
    task_place task_look(const queue *tasks, uint64_t name, task **out)
    uint64_t ring_bytes(const queue *ring)
    bint task_next(const queue *tasks, block_walk *walk, uint64_t *name)
