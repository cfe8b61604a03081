# SPDX-License-Identifier: MIT
from libc.stdint cimport uint32_t, uint64_t
from mpfast.core.base.posix cimport iovec

cdef extern from "core/child/handoff.h" nogil:
    int handoff_send(int sock, const iovec *data, size_t count, const int *fds, uint32_t nfds, int flags)
    int handoff_receive(int sock, void *data, size_t size, size_t *got, int **fds, uint32_t *nfds, int flags)
    void handoff_close(int *fds, uint32_t nfds)
    uint64_t handoff_mark(int fd)
