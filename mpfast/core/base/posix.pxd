# SPDX-License-Identifier: MIT
"""The system calls that extensions make themselves. Names that Python's own methods also have begin with c_."""

cdef extern from "<unistd.h>" nogil:
    int c_fork "fork"()
    int c_close "close"(int fd)
    void c_exit "_exit"(int code)
    ssize_t c_read "read"(int fd, void *data, size_t size)
    int getpid()
    int pipe2(int *ends, int flags)

cdef extern from "<signal.h>" nogil:
    const int SIGKILL
    int c_kill "kill"(int pid, int sig)

cdef extern from "<poll.h>" nogil:
    const short POLLIN
    const short POLLHUP
    struct pollfd:
        int fd
        short events
        short revents
    int c_poll "poll"(pollfd *fds, unsigned long count, int timeout)

cdef extern from "<sys/eventfd.h>" nogil:
    int eventfd_read(int fd, unsigned long *value)
    int eventfd_write(int fd, unsigned long value)

cdef extern from "<sys/uio.h>" nogil:
    struct iovec:
        void *iov_base
        size_t iov_len

cdef extern from "<sys/socket.h>" nogil:
    const int MSG_DONTWAIT
    const int SHUT_RDWR
    int c_shutdown "shutdown"(int fd, int how)

cdef extern from "<fcntl.h>" nogil:
    const int F_DUPFD_CLOEXEC
    const int O_CLOEXEC
    const int O_NONBLOCK
    int fcntl(int fd, int command, ...)
