# SPDX-License-Identifier: MIT
# cython: language_level=3
"""The children that the fork server has ready: each waits on a socket of its own for the process that it is to be.

What is done here is done without a bytecode in between, so a Ctrl-C comes before a child is handed its process or
after there is a Process object for it, and never costs a descriptor. Safe to use from any thread.
"""

from cpython.exc cimport PyErr_CheckSignals
from cpython.bytes cimport PyBytes_AS_STRING
from libc.errno cimport EAGAIN, ECONNREFUSED, ECONNRESET, EINTR, EPIPE
from libc.stdint cimport int32_t, int64_t, uint32_t
from libc.stdlib cimport calloc, free
from mpfast.core.child cimport child_wait
from mpfast.core.clock cimport clock_deadline
from mpfast.core.handoff cimport *
from mpfast.launch cimport Child

import os

cdef extern from "<unistd.h>" nogil:
    int c_close "close"(int fd)

cdef extern from "<poll.h>" nogil:
    const short POLLIN

cdef extern from "<sys/socket.h>" nogil:
    const int MSG_DONTWAIT

cdef struct report:
    int32_t pid    # of a child that is ready; its pidfd and its socket come with it
    int32_t error  # pid 0: why the server has no child for us


cdef class Parked:
    """Children that are ready, and the socket over which the server tells of them."""
    cdef list waiting  # of (pid, pidfd, socket)
    cdef readonly int asked  # how many the server was asked for and has not answered for

    def __cinit__(self):
        self.waiting = []
        self.asked = 0

    def __dealloc__(self):
        self.close()

    def __len__(self):
        return len(self.waiting)

    def expect(self, int n):
        """The server was asked for n more."""
        self.asked += n

    @property
    def pids(self):
        """The processes that wait."""
        return [pid for pid, _, _ in self.waiting]

    @property
    def fds(self):
        """The descriptors that they cost."""
        return [fd for _, *fds in self.waiting for fd in fds]

    cpdef close(self, int keep=0):
        """Lets all but so many go: they end."""
        while len(self.waiting) > keep:
            _, pidfd, sock = self.waiting.pop()
            c_close(pidfd)
            c_close(sock)

    def welcome(self, int ctl, double timeout):
        """Takes in one child that the server reports, waiting for it so many seconds; False: there is none yet.

        EOFError: the server has ended. OSError: what the server could not do.
        """
        cdef report said
        cdef int rc
        cdef int *fds = NULL
        cdef uint32_t n = 0
        cdef size_t got = 0
        cdef int64_t deadline
        if timeout > 0:
            deadline = clock_deadline(timeout)
            with nogil:
                rc = child_wait(ctl, POLLIN, deadline)
            if rc == -EINTR:
                PyErr_CheckSignals()
            if rc <= 0:
                return False
        rc = handoff_receive(ctl, &said, sizeof(said), &got, &fds, &n, MSG_DONTWAIT)
        if rc == -EAGAIN or rc == -EINTR:
            return False
        if rc == 0 or rc == -ECONNRESET:
            raise EOFError("the fork server has ended")
        if rc < 0:
            raise OSError(-rc, os.strerror(-rc))
        self.asked -= 1
        if got == sizeof(said) and said.pid > 0 and n == 2:
            self.waiting.append((said.pid, fds[0], fds[1]))
            free(fds)
            return True
        handoff_close(fds, n)
        free(fds)
        raise OSError(said.error, os.strerror(said.error))

    def hand_over(self, Child child, object process_obj, bytes data, fds):
        """Makes a child that waits run process_obj, which is `child`'s from then on. False: none waits.

        One that has died while it waited is passed over. OSError.
        """
        cdef iovec part
        cdef int rc = 0, pid, pidfd, sock
        cdef uint32_t i, n = len(fds)
        cdef int *numbers = <int *>calloc(n + 1, sizeof(int))
        if numbers == NULL:
            raise MemoryError()
        try:
            for i in range(n):
                numbers[i] = fds[i]
            part.iov_base = PyBytes_AS_STRING(data)
            part.iov_len = len(data)
            while self.waiting:
                pid, pidfd, sock = self.waiting.pop()
                rc = handoff_send(sock, &part, 1, numbers, n, 0)
                c_close(sock)
                if rc == 0:
                    child.adopt(process_obj, pid, pidfd, False)
                    return True
                c_close(pidfd)
                if rc not in (-EPIPE, -ECONNRESET, -ECONNREFUSED):
                    raise OSError(-rc, os.strerror(-rc))
            return False
        finally:
            free(numbers)
