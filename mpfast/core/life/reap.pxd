# SPDX-License-Identifier: MIT
from libc.stdint cimport uint32_t
from mpfast.core.family.family cimport family
from mpfast.core.locks.semaphore cimport bounded
from posix.types cimport pid_t

cdef extern from "core/life/reap.h":
    struct reaped:
        uint32_t permits
        pid_t pid
    void reap_owner(family *f, uint32_t word, reaped *r) nogil
    void reap_holders(family *f, const bounded *b, reaped *r) nogil
