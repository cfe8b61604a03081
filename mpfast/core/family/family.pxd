# SPDX-License-Identifier: MIT
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from mpfast.core.base.atomic cimport shared32, shared64
from posix.types cimport pid_t

cdef extern from *:
    ctypedef struct pthread_mutex_t:
        pass
    int pthread_mutex_lock(pthread_mutex_t *mutex) nogil
    int pthread_mutex_unlock(pthread_mutex_t *mutex) nogil

cdef extern from "core/family/family.h":
    const uint32_t FAMILY_SMALL_SLOTS
    const size_t FAMILY_MAPPED
    struct family_header:
        uint8_t id[16]
        shared32 participants_top
        shared32 slots_top[2]
    struct wait_record:
        shared32 tid
        shared32 slot
        shared64 since
    struct participant:
        shared64 state
        wait_record *waits
    struct family:
        family_header *header
        participant *participants
        shared64 *states
        shared32 *identity
        int fd
        pthread_mutex_t mutex
        family *next
    uint32_t family_me(const family *f) nogil
    void *slot_at(const family *f, uint32_t slot) nogil
    int family_create(family **out) nogil
    int family_attach(int fd, family **out) nogil
    void family_unmap(family *f) nogil
    bint family_fd_valid(const family *f)
