# SPDX-License-Identifier: MIT
from libc.stdint cimport uint32_t
from mpfast.core.family.family cimport family
from mpfast.core.family.waiting cimport spin_history, waiting

cdef extern from "core/locks/semaphore.h":
    const uint32_t SEMAPHORE_MAX
    struct semaphore:
        uint32_t maximum
    void semaphore_init(semaphore *s, uint32_t value, uint32_t maximum) nogil
    uint32_t semaphore_value(const semaphore *s) nogil
    bint semaphore_try(semaphore *s, uint32_t keep) nogil
    int semaphore_wait(family *f, uint32_t slot, uint32_t me, waiting *w, spin_history *h) nogil
    int semaphore_release(semaphore *s, uint32_t me) nogil

cdef extern from "core/locks/bounded.h":
    const uint32_t BOUNDED_SMALL
    const uint32_t BOUNDED_LARGE
    struct bounded:
        uint32_t size
        uint32_t policy
    uint32_t bounded_value(const bounded *b) nogil
    bint bounded_try(bounded *b, uint32_t me) nogil
    int bounded_wait(family *f, uint32_t slot, uint32_t me, waiting *w, spin_history *h) nogil
    int bounded_release(bounded *b, uint32_t me) nogil
