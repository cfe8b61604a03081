# SPDX-License-Identifier: MIT
from libc.stdint cimport int64_t

cdef extern from "<signal.h>" nogil:
    ctypedef struct sigset_t:
        pass

cdef extern from "core/child/child.h" nogil:
    int child_open(int pid)
    int child_signal(int pidfd, int signal)
    int child_wait(int pidfd, short events, int64_t deadline)
    int child_reap(int pid, bint block, int *code)
    int child_info(int pidfd, int *code)
    int child_info_try()
    int child_open_ours(int pid)
    int child_room()
    int child_supported(const char **what)
    int child_guard(int parent, int until)
    void child_name(const char *name)
    void child_hold_signals(sigset_t *before)
    void child_release_signals(const sigset_t *before)
