# SPDX-License-Identifier: MIT
from libc.stdint cimport int64_t, uint8_t, uint32_t
from mpfast.core.base.posix cimport iovec, pollfd

cdef extern from "core/wire/wire.h" nogil:
    enum wire_kind:
        pass
    const short WIRE_READABLE
    const short WIRE_WRITABLE
    const int WIRE_VECTORS
    struct wire_history:
        pass
    wire_kind wire_kind_of(int fd)
    int wire_poll(int fd, short events, int64_t deadline)
    int wire_poll_all(pollfd *p, size_t count, int64_t deadline)
    ssize_t wire_write(int fd, const iovec *parts, int count)
    ssize_t wire_write_now(int fd, wire_kind kind, const iovec *parts, int count)
    int wire_advance(iovec *parts, int first, int count, size_t size)
    int wire_fill(int fd, wire_kind kind, uint8_t *to, size_t size, size_t *done, wire_history *h, bint tried)
    const int WIRE_SLEEP
    int wire_fill_asleep(int fd, uint8_t *to, size_t size, size_t *done)
    int wire_fill_now(int fd, wire_kind kind, uint8_t *to, size_t size, size_t *done)
    void wire_expose(int fd, wire_kind kind)
    bint wire_exposed(int fd, wire_kind kind)
    int wire_pair(bint duplex, int *fds)
