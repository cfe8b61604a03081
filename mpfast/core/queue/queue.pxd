# SPDX-License-Identifier: MIT
from libc.stdint cimport int64_t, uint32_t, uint64_t
from mpfast.core.family.family cimport family
from mpfast.core.store.item cimport store, store_item

cdef extern from "core/queue/queue.h" nogil:
    const size_t QUEUE_CORE
    struct queue:
        pass
    struct queue_header:
        pass
    struct queue_stats_t "queue_stats":
        uint64_t size
        uint64_t put
        uint64_t unfinished
        uint64_t memory
        uint64_t idle
    enum queue_end:
        QUEUE_ITEMS
        QUEUE_SPACE
        QUEUE_MEMORY
        QUEUE_DONE
    void queue_init(queue_header *h, uint64_t maxsize, uint64_t budget)
    int queue_open(family *f, uint32_t slot, queue **out)
    void queue_close(queue *q)
    store *queue_store(queue *q)
    int queue_put(queue *q, const store_item *item)
    int queue_put_value(queue *q, uint64_t value)
    int queue_take(queue *q, store_item *item)
    void queue_pass_on(queue *q, queue_end end)
    uint64_t queue_size(const queue *q)
    bint queue_empty(const queue *q)
    bint queue_full(const queue *q)
    uint64_t queue_unfinished(const queue *q)
    int queue_task_done(queue *q)
    void queue_shutdown(queue *q)
    void queue_stats(queue *q, queue_stats_t *s)
    int queue_bell(queue *q, bint space)
    bint queue_unheard(queue *q)
    void queue_relay(queue *q)
    bint queue_arm(queue *q, bint space)
    void queue_settle(queue *q)
    void queue_settle_if_empty(queue *q)
    void queue_silence(queue *q)
