# SPDX-License-Identifier: MIT
from libc.stdint cimport uint32_t, uint64_t

cdef extern from "core/store/hold.h" nogil:
    const uint64_t NO_BLOCK
    struct store:
        pass
    struct store_item:
        uint64_t block
        uint64_t value
        char *data
        uint64_t size
        uint32_t kind
    int item_prepare(store *s, uint64_t size, uint32_t kind, store_item *out)
    void item_touch(store *s, const store_item *taken)
    void item_release(store *s, const store_item *done)
    int item_pin(store *s, const store_item *taken)
    void item_unpin(store *s, const store_item *taken)
