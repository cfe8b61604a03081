# SPDX-License-Identifier: MIT
from libc.stdint cimport int64_t, uint32_t, uint64_t
from mpfast.core.family.waiting cimport spin_history
from mpfast.core.queue.queue cimport queue
from mpfast.core.store.item cimport store_item
from mpfast.core.tasks.layout cimport result, result_kind
from mpfast.core.tasks.workers cimport seat

cdef extern from "core/tasks/results.h" nogil:
    result *result_of(const store_item *item)
    char *result_payload(const store_item *item)
    uint32_t result_cells(const store_item *item)
    int result_prepare(queue *results, uint64_t size, result_kind kind, uint64_t job, uint64_t first, store_item *item)
    int result_put(const seat *s, queue *results, const store_item *item, uint64_t elapsed)
    uint32_t result_peek(const queue *results, uint64_t name, store_item *item)
    void result_free(queue *results, const store_item *item)
    int result_take(queue *results, store_item *item)
    void result_hasten(queue *results)
    int result_wait(queue *results, int64_t deadline, spin_history *history)
