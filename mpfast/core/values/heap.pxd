# SPDX-License-Identifier: MIT
from libc.stdint cimport int64_t, uint32_t, uint64_t
from mpfast.core.family.family cimport family

cdef extern from "core/values/heap.h":
    enum:
        HEAP_CLASSES
    struct heap:
        pass
    heap *heap_of(family *f) nogil
    uint32_t heap_class(uint64_t size) nogil
    uint64_t heap_owner(uint32_t slot, uint32_t generation) nogil
    int64_t heap_find(heap *h, uint32_t which, uint64_t owner, uint64_t size) nogil
    char *heap_data(heap *h, uint32_t which, uint32_t index) nogil
    uint64_t heap_size(uint32_t which) nogil
    bint heap_owned(const heap *h, uint32_t which, uint32_t index, uint64_t owner) nogil
    bint heap_moved(heap *h, uint32_t which) nogil
    void heap_trim(heap *h, uint64_t owner) nogil
