# SPDX-License-Identifier: MIT
"""What the launchers share, the base of their Popen classes."""

from libc.stdint cimport int64_t, uint64_t


cdef class Child:
    cdef readonly int pid
    cdef public object returncode  # None until it is known
    cdef int pidfd                 # -1: closed
    cdef uint64_t mark             # its file's. Another file that has its number later is not ours to close
    cdef int data                  # where the child reads its message, as long as the launch lasts. -1 if there is none
    cdef int feed                  # -1, or the socket by which it gets the message
    cdef bint ours                 # it is a child of this process, which reaps it
    cdef readonly uint64_t token   # in its server's exit table. 0 if the kernel tells
    cdef readonly object source    # with a token, the object that knows its exit code
    cdef object __weakref__

    cdef void adopt(self, object process_obj, int pid, int pidfd, bint ours) noexcept
    cdef void close_pidfd(self) noexcept
    cdef void drop_data(self) noexcept
    cdef int collect(self, bint block) except -1
    cdef int collect_by_hook(self, bint block) except -1
    cdef bint wait_by_hook(self, timeout) except -1
    cdef fork_by_hook(self, process_obj, intent, int room)
    cdef int collect_elsewhere(self, bint block) except -1
    cdef int collect_info(self) except -1
    cdef kill_by_hook(self, int sig)
    cdef int signal_by_pid(self, int sig) except? -1
    cdef bint ended(self, int64_t deadline) except -1
    cdef int embrace(self, object process_obj, int pid, int room) noexcept
