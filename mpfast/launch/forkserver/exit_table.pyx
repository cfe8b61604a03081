# SPDX-License-Identifier: MIT
# cython: language_level=3
"""How a fork server's children ended, told by shared memory. It is for kernels that do not tell it to a process that is
not their parent (before Linux 6.15).

The client makes the table. The server maps it, and its children inherit that. Each child has a token, which is one life
of a slot. The token of a forgotten child changes nothing any more. A process that is killed leaves nothing half done,
and no lock behind. Safe to use from any thread.

    server                          child                  client
    t = take(), fork
    born(t, pid)                                           want(t): its end is to be kept
                                                           gives it a process to be
                                    said(t, code), _exit
    waitid(), reaped(t, code)                              result(t, ...)
                                                           drop(t): the slot is free again
"""

from cpython.exc cimport PyErr_CheckSignals
from libc.errno cimport EBADMSG, EFBIG, EINTR, ENOSPC, EPERM
from libc.stdint cimport int64_t, uint64_t
from mpfast.core.base.clock cimport clock_deadline
from mpfast.core.base.posix cimport c_close, getpid
from mpfast.core.child.exit_table cimport *
from mpfast.errors cimport raise_call, raise_errno

import os

cdef dict _TEXTS = {
    EBADMSG: "the descriptor is not of an exit table",
    EFBIG: "the hard limit on the size of files (ulimit -f) leaves no room for the fork server's exit table",
    EPERM: "the exit table is not sealed, so that others might take its memory away",
    ENOSPC: f"all {EXITS_SLOTS} slots of the exit table are in use",
}


cdef class Table:
    """Table() makes an exit table, Table(fd) maps the one behind a descriptor, which stays the caller's.

    OSError if there is no memory or no descriptor for it, or if fd is not a table's.
    """

    def __cinit__(self, fd=None):
        cdef int rc
        self.fd = -1
        self.maker = getpid()
        if fd is None:
            rc = self.fd = exits_create(&self.table)
            if rc < 0:
                raise_call(rc, "a memory file for exit codes", _TEXTS)
        else:
            rc = exits_map(fd, &self.table)
        if rc < 0:
            raise_errno(rc, None, _TEXTS)
        self.mapped = True

    def __dealloc__(self):
        if self.mapped:
            exits_unmap(&self.table)
        if self.fd >= 0:
            c_close(self.fd)

    def fileno(self):
        """The descriptor to hand to the server. ValueError if there is none."""
        if self.fd < 0:
            raise ValueError("this exit table has no descriptor of its own")
        return self.fd

    def release(self):
        """Closes the descriptor, because the server has it. The table stays."""
        cdef int fd = self.fd
        self.fd = -1
        if fd >= 0:
            c_close(fd)

    def take(self):
        """For the server, before it forks. Takes a slot, and returns its token, which is never 0. OSError: ENOSPC."""
        cdef int64_t token = exits_take(&self.table)
        if token < 0:
            raise_errno(<int>token, None, _TEXTS)
        return token

    def born(self, uint64_t token, int pid):
        """For the server. Notes the child's pid. Only tests and tools read it."""
        if not 0 < pid <= EXITS_MOST_PID:
            raise ValueError(f"pid {pid} is no process's")
        exits_born(&self.table, token, pid)

    def pid(self, uint64_t token):
        """The child's pid. 0 if it was not told yet, or the child was forgotten."""
        return exits_pid(&self.table, token)

    cpdef bint want(self, uint64_t token):
        """For the client, before it hands a process to the spare. The end is kept until drop().

        False if it has ended. A spare that is not wanted is forgotten when it is reaped.
        """
        return exits_want(&self.table, token)

    def said(self, uint64_t token, int code):
        """For the child, right before os._exit(code), in case the server is not there to reap it and tell."""
        exits_say(&self.table, token, code)

    def reaped(self, uint64_t token, int code):
        """For the server. The child has ended, and code is its exit code, -N for signal N. Wakes the waiters.

        With any code, it also gives back the slot of a child that could not be forked. The server looks with
        os.WNOWAIT, tells, and only then reaps, so that nothing is lost if it is killed. ValueError if code is no exit
        code.
        """
        if not EXITS_LOWEST <= code <= EXITS_HIGHEST:
            raise ValueError(f"exit code {code} is not in {EXITS_LOWEST}..{EXITS_HIGHEST}")
        exits_reaped(&self.table, token, code)

    cpdef drop(self, uint64_t token):
        """For the client. It knows how the child ended, or does not want to. The slot is free when the child is reaped.

        Nothing happens the second time, or in a process forked from the one whose object this is.
        """
        if getpid() == self.maker:
            exits_drop(&self.table, token)

    def result(self, uint64_t token, double timeout, int other=-1):
        """For the client. How the child ended. Blocks until the server has told, at most `timeout` seconds.

        other: the server's pidfd. When that process has ended without telling, this does not wait any longer, and takes
        what the child said of itself. So ask when the child has ended. It may still have been killed between its word
        and its end.

        Returns (exit code, whether it is certain). Returns None if it was not told in time or never will be, or if the
        child is not wanted or was dropped by another thread. It may be asked again until drop(), so a KeyboardInterrupt
        between the two loses nothing. Signals are handled, and what a handler raises is raised.
        """
        cdef int code = 0
        cdef int known = self.wait(token, clock_deadline(timeout), other, &code)
        return (code, known == EXITS_CERTAIN) if known else None

    cdef int wait(self, uint64_t token, int64_t deadline, int server, int *code) except -1:
        """As result(): 0, EXITS_UNCERTAIN or EXITS_CERTAIN."""
        cdef int rc
        while True:
            if deadline == 0:
                rc = exits_wait(&self.table, token, 0, server, code)
            else:
                with nogil:
                    rc = exits_wait(&self.table, token, deadline, server, code)
            if rc != -EINTR:
                return rc if rc > 0 else 0
            PyErr_CheckSignals()
