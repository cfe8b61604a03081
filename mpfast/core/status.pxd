# SPDX-License-Identifier: MIT
from libc.stdint cimport int64_t, uint64_t

cdef extern from "core/status.h" nogil:
    enum:
        STATUS_SLOTS
        STATUS_LOWEST
        STATUS_HIGHEST
        STATUS_MOST_PID
    enum:
        STATUS_UNCERTAIN
        STATUS_CERTAIN
    struct status_table:
        pass
    int status_map(int fd, status_table *t)
    int status_create(status_table *t)
    void status_unmap(status_table *t)
    int64_t status_take(status_table *t)
    void status_born(const status_table *t, uint64_t token, int pid)
    bint status_want(const status_table *t, uint64_t token)
    void status_say(const status_table *t, uint64_t token, int code)
    void status_reaped(const status_table *t, uint64_t token, int code)
    void status_drop(const status_table *t, uint64_t token)
    int status_pid(const status_table *t, uint64_t token)
    int status_wait(const status_table *t, uint64_t token, int64_t deadline, int server, int *code)
