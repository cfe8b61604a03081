# SPDX-License-Identifier: MIT
from libc.stdint cimport int64_t, uint32_t, uint64_t
from mpfast.core.family.family cimport family

cdef extern from "core/family/slots.h":
    enum:
        SMALL_SLOT_SIZE
    enum slot_class:
        SLOT_SMALL
        SLOT_LARGE
    enum slot_kind_t "slot_kind":
        SLOT_LOCK
        SLOT_RLOCK
        SLOT_SEMAPHORE
        SLOT_BOUNDED
        SLOT_EVENT
        SLOT_CONDITION
        SLOT_BARRIER
        SLOT_QUEUE
        SLOT_VALUE
        SLOT_ARRAY
        SLOT_DICT
        SLOT_LIST
    bint kind_has_window(slot_kind_t kind) nogil
    slot_kind_t slot_kind(uint64_t state) nogil
    uint32_t slot_generation(uint64_t state) nogil
    void ref_set(family *f, uint32_t participant, uint32_t slot) nogil
    void refs_vouched(family *f) nogil
