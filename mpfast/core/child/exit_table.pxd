# SPDX-License-Identifier: MIT
from libc.stdint cimport int64_t, uint64_t

cdef extern from "core/child/exit_table.h" nogil:
    enum:
        EXITS_SLOTS
        EXITS_LOWEST
        EXITS_HIGHEST
        EXITS_MOST_PID
        EXITS_CERTAIN
    struct exits_table:
        pass
    int exits_map(int fd, exits_table *t)
    int exits_create(exits_table *t)
    void exits_unmap(exits_table *t)
    int64_t exits_take(exits_table *t)
    void exits_born(const exits_table *t, uint64_t token, int pid)
    bint exits_want(const exits_table *t, uint64_t token)
    void exits_say(const exits_table *t, uint64_t token, int code)
    void exits_reaped(const exits_table *t, uint64_t token, int code)
    void exits_drop(const exits_table *t, uint64_t token)
    int exits_pid(const exits_table *t, uint64_t token)
    int exits_wait(const exits_table *t, uint64_t token, int64_t deadline, int server, int *code)
