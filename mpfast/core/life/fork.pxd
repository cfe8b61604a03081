# SPDX-License-Identifier: MIT
from libc.stdint cimport uint8_t, uint32_t
from mpfast.core.family.family cimport family
from mpfast.core.life.reap cimport reaped

cdef extern from "core/life/membership.h":
    int member_reserve(family *f, uint32_t *identity, int *fd, reaped *r) nogil
    int member_become(family *f, uint32_t identity, int fd) nogil
    int member_join(family *f, reaped *r) nogil
    void member_cancel(family *f, uint32_t identity, int fd, reaped *r) nogil
    void member_let_go(family *f, uint32_t identity, int fd, reaped *r) nogil
    bint member_expected(const family *f, uint32_t identity) nogil
    void member_merge(family *f, uint32_t identity, int fd, reaped *r) nogil

cdef extern from "core/life/fork.h":
    struct families_t "families":
        family *first
        reaped reaped
    families_t families
    void families_add(family *f) nogil
    family *families_find(const uint8_t *id) nogil
    int fork_install() nogil
