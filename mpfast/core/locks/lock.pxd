# SPDX-License-Identifier: MIT
from libc.stdint cimport uint32_t, uint64_t
from mpfast.core.base.atomic cimport shared32
from mpfast.core.family.family cimport family
from mpfast.core.family.waiting cimport spin_history, waiting

cdef extern from *:
    int EOWNERDEAD

cdef extern from "core/base/thread.h":
    uint32_t thread_id(uint32_t me) nogil

cdef extern from "core/locks/lock.h":
    enum:
        LOCK_DEAD
    enum:
        DEATH_RAISE
        DEATH_RELEASE
        DEATH_WAIT
    struct lock:
        shared32 word
        uint32_t policy
        shared32 holder
        shared32 dead_pid
        shared32 dead_tid
        shared32 deaths
    struct suspicion:
        pass
    uint32_t LOCK_OWNER(uint32_t word) nogil
    bint lock_try(lock *l, uint32_t me) nogil
    bint lock_mine(const lock *l, uint32_t me) nogil
    int lock_wait(family *f, uint32_t slot, uint32_t me, waiting *w, spin_history *h) nogil
    bint lock_suspect(family *f, lock *l, waiting *w) nogil
    int lock_poll_owner(family *f, lock *l, suspicion *s) nogil
    uint32_t lock_release(family *f, lock *l) nogil
    bint lock_recover(family *f, lock *l, uint32_t me) nogil
    uint32_t lock_whole(const lock *l) nogil
    bint lock_take_over(family *f, lock *l, uint32_t me, uint32_t word) nogil
    void lock_leave_wakes(family *f, lock *l, uint32_t slot, uint32_t bits) nogil

cdef extern from "core/locks/rlock.h":
    uint32_t rlock_depth(const lock *l) nogil
    void rlock_set_depth(lock *l, uint32_t depth) nogil
    bint rlock_reenter(lock *l, uint32_t me) nogil
    int rlock_release(family *f, lock *l, uint32_t me) nogil
