# SPDX-License-Identifier: MIT
# cython: language_level=3
"""The fork server's spares. Each waits on a socket of its own for the process that it is to become.

What is done here is done without a bytecode in between. So a Ctrl-C comes before a spare is handed its process, or
after there is a Process object for it. It never costs a descriptor or the count of what the server owes. A descriptor
that the program closed behind our back may be another file by now. It is neither used nor closed. The caller makes
sure that one thread at a time is in here.
"""

cimport cython
from cpython.exc cimport PyErr_CheckSignals
from cpython.bytes cimport PyBytes_AS_STRING
from libc.errno cimport EAGAIN, EBADF, ECONNREFUSED, ECONNRESET, EINTR, EPIPE, errno
from libc.stdint cimport int32_t, uint32_t, uint64_t
from libc.stdlib cimport free
from mpfast.core.base.descriptor cimport DESCRIPTOR_FIRST
from mpfast.core.child.child cimport child_signal, child_wait
from mpfast.core.base.posix cimport *
from mpfast.core.child.handoff cimport *
from mpfast.errors cimport raise_call, raise_errno
from mpfast.launch.child cimport Child
from mpfast.launch.handoff cimport numbers_of
from mpfast.launch.forkserver.exit_table cimport Table


cdef struct request:
    int32_t n     # how many more spares
    int32_t idle  # the milliseconds after which one that is not needed ends. -1 if it stays
    int32_t pause  # milliseconds for which the request can wait, if nothing else is asked

cdef struct report:
    int32_t pid    # of a spare. Its pidfd and its socket come with it
    int32_t error  # with pid 0, why the server has no spare for us
    uint64_t token  # the spare's in the exit table, if there is one


cdef void close_ours(int fd, uint64_t mark) noexcept:
    if handoff_mark(fd) == mark:
        c_close(fd)


cdef int wait_for_either(int sock, int pidfd, int milliseconds) noexcept nogil:
    cdef pollfd fds[2]
    fds[0] = pollfd(sock, POLLIN, 0)
    fds[1] = pollfd(pidfd, POLLIN, 0)
    return -errno if c_poll(fds, 2, milliseconds) < 0 else 0


cdef class WaitingSpare:
    """One spare, with the marks that tell whether its descriptors are still ours."""
    cdef int pid
    cdef int pidfd
    cdef uint64_t mark
    cdef int sock
    cdef uint64_t sock_mark
    cdef uint64_t token  # in the exit table. 0 if there is none

    cdef void close_pidfd(self) noexcept:
        close_ours(self.pidfd, self.mark)

    cdef void close_socket(self) noexcept:
        close_ours(self.sock, self.sock_mark)

    cdef bint is_whole(self) noexcept:
        """Did the program leave both descriptors alone?"""
        return handoff_mark(self.pidfd) == self.mark and handoff_mark(self.sock) == self.sock_mark


cdef WaitingSpare spare_of(const report *said, const int *fds):
    cdef WaitingSpare spare = WaitingSpare.__new__(WaitingSpare)
    spare.pid, spare.token = said.pid, said.token
    spare.pidfd, spare.sock = fds[0], fds[1]
    spare.mark, spare.sock_mark = handoff_mark(fds[0]), handoff_mark(fds[1])
    return spare


@cython.no_gc_clear  # its end needs the list of the spares
cdef class Spares:
    """The spares of one fork server, and the socket over which the server is asked for them.

    server: that socket, of which this has a descriptor of its own. process: the server, when it runs. source: where the
    ends of the children are told, if there is a table, else None.
    """
    cdef list waiting     # of WaitingSpare, those that stay first
    cdef object source
    cdef Child process
    cdef Table table
    cdef readonly int asked  # how many the server was asked for and has not reported
    cdef readonly bint heard  # the server has reported its first spare
    cdef int server
    cdef uint64_t mark

    def __cinit__(self, int server, Child process, source=None):
        self.server = -1
        self.waiting = []
        self.asked = 0
        self.heard = False
        self.source = source
        self.process = process
        self.table = None if source is None else source.table
        self.server = fcntl(server, F_DUPFD_CLOEXEC, DESCRIPTOR_FIRST)
        if self.server < 0:
            raise_call(-errno, "F_DUPFD_CLOEXEC")
        self.mark = handoff_mark(self.server)

    def __dealloc__(self):
        self.close()

    def __len__(self):
        return len(self.waiting)

    @property
    def pids(self):
        """The pids of the spares."""
        return [(<WaitingSpare>spare).pid for spare in self.waiting]

    @property
    def fds(self):
        """The descriptors of the spares."""
        return [fd for spare in self.waiting for fd in ((<WaitingSpare>spare).pidfd, (<WaitingSpare>spare).sock)]

    cpdef release(self, int keep=0):
        """Lets all but `keep` go, so that they end."""
        cdef WaitingSpare spare
        while len(self.waiting) > keep:
            spare = self.waiting.pop()
            spare.close_pidfd()
            spare.close_socket()

    def hang_up(self):
        """Ends the conversation with the server, also where a process forked meanwhile has our end of the socket."""
        if handoff_mark(self.server) == self.mark:
            c_shutdown(self.server, SHUT_RDWR)

    def kill(self):
        """Ends all spares, those that are stopped too."""
        cdef WaitingSpare spare
        for spare in self.waiting:
            if handoff_mark(spare.pidfd) == spare.mark:
                child_signal(spare.pidfd, SIGKILL)
        self.release()

    def fileno(self):
        """The socket of the server. It is readable when a spare is reported, or the server has ended. -1: closed."""
        return self.server if handoff_mark(self.server) == self.mark else -1

    cpdef close(self):
        """Lets the server and all spares go, so that they end."""
        self.release()
        if self.server >= 0:
            close_ours(self.server, self.mark)
        self.server = -1

    def ask(self, int n, int idle, int pause):
        """Asks the server for n more, which end after `idle` milliseconds (-1: never) if they are not needed.

        pause: milliseconds for which that can wait, if nothing else is asked.

        Returns False, and asks nothing, if the server has more to do than it can note. EOFError if it has ended.
        """
        cdef request wanted = request(n, idle, pause)
        cdef iovec part = iovec(&wanted, sizeof(wanted))
        cdef int rc = -EBADF
        if handoff_mark(self.server) == self.mark:
            rc = handoff_send(self.server, &part, 1, NULL, 0, MSG_DONTWAIT)
        if rc == -EAGAIN:
            return False
        if rc in (-EPIPE, -ECONNRESET, -ECONNREFUSED, -EBADF):
            raise EOFError("the fork server has ended")
        if rc < 0:
            raise_call(rc, "sendmsg")
        self.asked += n
        return True

    def expect(self, int n):
        """The server makes so many without being asked."""
        self.asked += n

    def welcome(self, bint block, int milliseconds=-1):
        """Takes in one spare that the server reports. False if there is none yet, or if a signal came meanwhile.

        milliseconds: how long to block at most. -1 is without end.

        EOFError if the server has ended. OSError says why it has no spare for us, or why we cannot take it in.
        """
        cdef report said
        cdef int rc, server = self.server
        cdef bint over
        cdef int *fds = NULL
        cdef uint32_t n = 0
        cdef size_t got = 0
        if block and server >= 0:
            with nogil:
                rc = wait_for_either(server, self.process.pidfd, milliseconds)
            if rc == -EINTR:
                PyErr_CheckSignals()
                return False
        over = block and child_wait(self.process.pidfd, POLLIN, 0) > 0
        rc = -EBADF
        if handoff_mark(server) == self.mark:
            rc = handoff_receive(server, &said, sizeof(said), &got, &fds, &n, MSG_DONTWAIT)
        if rc == -EAGAIN and over:  # a process that it forked has its end of the socket
            rc = 0
        if rc == -EAGAIN or rc == -EINTR:
            return False
        if rc in (0, -ECONNRESET, -EPIPE, -EBADF):
            raise EOFError("the fork server has ended")
        self.asked -= 1
        if rc < 0:
            raise_call(rc, "recvmsg")
        if got == sizeof(said) and said.pid > 0 and n == 2:
            self.heard = True
            self.waiting.append(spare_of(&said, fds))
            free(fds)
            return True
        handoff_close(fds, n)
        free(fds)
        raise_errno(-said.error)

    def hand_over(self, Child child, object process_obj, bytes data, fds):
        """Makes a spare run process_obj, which is `child`'s from then on. False if there is no spare.

        Spares that died while they waited are passed over. OSError.
        """
        cdef iovec part
        cdef uint32_t n = 0
        cdef int *numbers = numbers_of(fds, &n)
        try:
            part.iov_base = PyBytes_AS_STRING(data)
            part.iov_len = len(data)
            while self.waiting:
                if self.give(child, process_obj, &part, numbers, n):
                    return True
            return False
        finally:
            free(numbers)

    cdef bint give(self, Child child, object process_obj, const iovec *part, const int *fds, uint32_t n) except -1:
        """Hands the last spare the process. True, or False if it has died."""
        cdef int rc = -EBADF
        cdef bint bad = False
        cdef WaitingSpare spare = self.waiting.pop()
        if spare.is_whole():
            rc = -EPIPE
            if self.table is None or self.table.want(spare.token):
                rc = handoff_send(spare.sock, part, 1, fds, n, 0)
                bad = rc == -EBADF and spare.is_whole()  # a descriptor for the process is bad
        spare.close_socket()
        if rc == 0:
            child.token, child.source = spare.token, self.source
            child.adopt(process_obj, spare.pid, spare.pidfd, False)
            return True
        if self.table is not None:
            self.table.drop(spare.token)
        spare.close_pidfd()
        if bad or rc not in (-EPIPE, -ECONNRESET, -ECONNREFUSED, -EBADF):
            raise_call(rc, "sendmsg")
        return False
