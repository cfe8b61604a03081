# SPDX-License-Identifier: MIT
from libc.stdint cimport uint32_t
from mpfast.core.queue.queue cimport queue
from mpfast.core.store.item cimport store_item

cdef extern from "core/store/walk.h" nogil:
    struct block_walk:
        pass
    void walk_begin(block_walk *w)

cdef extern from "core/tasks/ledger.h" nogil:
    void ledger_mark(const queue *ring, uint32_t identity)
    int ledger_next(const queue *ring, uint32_t identity, block_walk *walk, store_item *item)
    int ledger_again(queue *tasks, const store_item *item, uint32_t next, uint32_t end)
