# SPDX-License-Identifier: MIT
# cython: language_level=3
"""Hand-offs of data and descriptors over a SOCK_SEQPACKET socket, in one system call for up to 250 descriptors.

A hand-off arrives whole or not at all. Descriptors arrive with close-on-exec set. Safe to use from any thread.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from cpython.exc cimport PyErr_CheckSignals
from libc.errno cimport EINTR
from libc.stdint cimport uint32_t
from libc.stdlib cimport free
from mpfast.core.child.handoff cimport *
from mpfast.errors cimport raise_call



def send(int sock, bytes data, fds=(), int flags=0):
    """Sends data and descriptors over a SOCK_SEQPACKET socket. BrokenPipeError if the other end is gone. OSError."""
    cdef iovec part
    cdef uint32_t n = 0
    cdef int rc
    cdef int *numbers = numbers_of(fds, &n)
    try:
        part.iov_base = PyBytes_AS_STRING(data)
        part.iov_len = len(data)
        with nogil:
            rc = handoff_send(sock, &part, 1, numbers, n, flags)
    finally:
        free(numbers)
    if rc < 0:
        raise_call(rc, "sendmsg")


def receive(int sock, size_t size=1 << 17, int flags=0):
    """Waits for what send() sent, and returns (bytes, descriptors). EOFError if the other end is gone. OSError."""
    cdef int rc = -EINTR
    cdef int *numbers = NULL
    cdef uint32_t i, n = 0
    cdef size_t got = 0
    cdef bytes buffer = PyBytes_FromStringAndSize(NULL, size)
    cdef char *data = PyBytes_AS_STRING(buffer)
    while rc == -EINTR:
        with nogil:
            rc = handoff_receive(sock, data, size, &got, &numbers, &n, flags)
        if rc == -EINTR:
            PyErr_CheckSignals()
    if rc == 0:
        raise EOFError
    if rc < 0:
        raise_call(rc, "recvmsg")
    fds = [numbers[i] for i in range(n)]
    free(numbers)
    return buffer[:got], fds
