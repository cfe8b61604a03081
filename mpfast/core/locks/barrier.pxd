# SPDX-License-Identifier: MIT
from libc.stdint cimport uint32_t, uint64_t
from mpfast.core.base.atomic cimport shared32, shared64
from mpfast.core.family.family cimport family
from mpfast.core.family.waiting cimport spin_history, waiting
from posix.types cimport pid_t

cdef extern from "core/locks/barrier.h":
    const uint64_t BARRIER_BROKEN
    const uint64_t BARRIER_ACTING
    const uint32_t BARRIER_SMALL
    const uint32_t BARRIER_ANY_ROUND
    enum:
        ARRIVED_LAST
        ARRIVED_TOO_EARLY
    struct barrier:
        shared64 word
        uint32_t parties
        uint32_t policy
        shared32 broken_pid
    uint32_t barrier_count(uint64_t word) nogil
    int barrier_arrive(barrier *b, uint32_t me, bint acting, uint32_t *round, uint32_t *index) nogil
    bint barrier_complete(barrier *b, uint32_t round) nogil
    bint barrier_break(barrier *b, uint32_t round, pid_t killed) nogil
    void barrier_reset(barrier *b) nogil
    bint barrier_withdraw(barrier *b, uint32_t me, uint32_t round) nogil
    int barrier_wait(family *f, uint32_t slot, uint32_t me, uint32_t round, waiting *w, spin_history *h) nogil
