# SPDX-License-Identifier: MIT
from libc.stdint cimport uint32_t
from mpfast.core.base.atomic cimport shared32

cdef extern from "core/wire/turn.h" nogil:
    struct turn:
        shared32 given
        uint32_t waiters
    uint32_t turn_epoch
    struct users:
        uint32_t count
    uint32_t users_count(const users *u)
    void users_enter(users *u)
    void users_leave(users *u)
    bint turn_taken(const turn *t)
    bint turn_mine(const turn *t)
    bint turn_orphaned(const turn *t)
    void turn_take(turn *t)
    void turn_give(turn *t)
    int turn_wait(turn *t, uint32_t seen)
