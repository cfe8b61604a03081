# SPDX-License-Identifier: MIT
from libc.stdint cimport uint32_t, uint64_t
from mpfast.core.base.atomic cimport shared32
from mpfast.core.family.family cimport family
from mpfast.core.family.waiting cimport spin_history, waiting

cdef extern from "core/locks/condition.h":
    struct condition:
        pass
    uint32_t condition_take(condition *c, uint32_t me) nogil
    void condition_settle(condition *c, uint32_t deaths) nogil
    bint condition_cancel(condition *c, uint32_t ticket) nogil
    uint32_t condition_notify(family *f, condition *c, uint64_t n, uint32_t me) nogil
    uint32_t condition_waiters(const family *f, const condition *c) nogil
    void condition_wake(condition *c, uint32_t bits) nogil
    int condition_sleep(family *f, uint32_t slot, uint32_t me, uint32_t ticket, waiting *w, spin_history *h) nogil
