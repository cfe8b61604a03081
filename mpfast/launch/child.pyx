# SPDX-License-Identifier: MIT
# cython: language_level=3
"""Starting, watching and reaping one child, the base of the launchers' Popen classes.

A child's sentinel is a pidfd. It becomes readable when the process has ended, even if other processes still hold its
pipes. It never names a later process. What is done to a child that exists is done without a bytecode in between, so
that a Ctrl-C never leaves a child without its Process object. Safe to use from any thread.
"""

from cpython.bytes cimport PyBytes_AS_STRING
from cpython.exc cimport PyErr_CheckSignals
from libc.errno cimport EACCES, EBADF, ECHILD, EINTR, EINVAL, EMFILE, ENOSYS, EPERM, EPIPE, ESRCH, errno as c_errno
from libc.stdint cimport int64_t, uint64_t
from libc.stdlib cimport calloc, free
from mpfast.core.base.descriptor cimport descriptor_above, descriptors_above
from mpfast.core.base.filesize cimport filesize_allowed
from mpfast.core.child.child cimport *
from mpfast.core.child.handoff cimport handoff_mark
from mpfast.core.child.message cimport *
from mpfast.core.base.clock cimport MILLISECOND, NEVER, SECOND, clock_deadline, clock_now
from mpfast.core.base.posix cimport *
from mpfast.errors cimport raise_call, raise_errno
from mpfast.launch.life cimport flush_streams, is_own, is_replaced, live

import _posixsubprocess
import os
import signal
import sys
from multiprocessing import process as _process

from .life import bootstrap, hooked, rehearse  # noqa: F401

cdef extern from "Python.h":
    void *PyInterpreterState_Get()
    void *PyInterpreterState_Main()
    void PyOS_BeforeFork()
    void PyOS_AfterFork_Parent()
    void PyOS_AfterFork_Child()
    int PySys_Audit(const char *event, const char *format) except -1
    int PyObject_GenericSetAttr(object o, object name, object value) except -1

cdef tuple _VFORK = (True,) if sys.version_info < (3, 14) else ()
cdef int _WNOHANG = os.WNOHANG
cdef int64_t REAPING = SECOND  # how long a child that has ended may wait until its parent reaps it
_reason = False  # not asked yet
cdef tuple _REFUSALS = (-EPERM, -EACCES, -ENOSYS)  # of a filter, or of a kernel that does not know the call
cdef dict _PLACES = {MESSAGE_IN_PIPE: "pipe2", MESSAGE_IN_FILE: "memfd_create", MESSAGE_BY_SOCKET: "socketpair"}
process_class = None  # what spares rehearse with. context.py sets it, as this room knows no context
ANY_SIZE = 2**64 - 1
MESSAGE_PIPED = _PIPED  # bytes of a message that need no memory file


def available():
    """Why mpfast cannot launch processes itself here, so that multiprocessing's launchers do. None if it can."""
    global _reason
    if _reason is False:
        _reason = _why_not()
    return _reason


def _why_not():
    cdef const char *what
    if os.environ.get("MPFAST_LAUNCH") == "stdlib":
        return "MPFAST_LAUNCH=stdlib"
    if getattr(sys, "frozen", False):
        return "a frozen executable"
    rc = child_supported(&what)
    if rc in (0, -EMFILE):  # EMFILE says nothing about the kernel
        return None
    return f"{what.decode()}: {os.strerror(-rc)}"


cdef int64_t _deadline(timeout) except -1:
    """multiprocessing waits with poll(). Its milliseconds are a C int, so it refuses what does not fit."""
    seconds = 0.0 + timeout
    if seconds > 0 and seconds * 1e3 >= 1 << 31 or seconds != seconds:
        int(seconds)  # raises for what is not finite
        raise OverflowError("timeout is too large")
    return clock_deadline(seconds)


cdef bint is_dropped(int sock, int milliseconds) noexcept:
    cdef pollfd end = pollfd(sock, POLLIN, 0)
    return c_poll(&end, 1, milliseconds) > 0 and end.revents & POLLHUP


cdef int failure_of(int fd) noexcept:
    """The errno that fork_exec() reports for a program that could not be run, or 0. It reports before it returns."""
    cdef char said[64]
    cdef ssize_t n = c_read(fd, said, sizeof(said))
    if n <= 0:
        return 0
    try:
        return int((<bytes>said[:n]).split(b":")[1], 16) or EINVAL
    except (IndexError, ValueError):
        return EINVAL


cdef class Child:
    """Base of the Popen classes. It has one child, by pidfd. `pid` and `sentinel` are known once it was launched."""

    finalizer = None

    def __cinit__(self):
        self.pidfd = -1
        self.data = -1
        self.feed = -1

    def __dealloc__(self):
        self.drop_data()
        self.close_pidfd()

    cdef void close_pidfd(self) noexcept:
        cdef int fd = self.pidfd
        self.pidfd = -1
        if fd >= 0 and handoff_mark(fd) == self.mark:  # else the program has closed it behind our back
            c_close(fd)

    cdef void adopt(self, object process_obj, int pid, int pidfd, bint ours) noexcept:
        self.pid = pid
        self.pidfd = pidfd
        self.mark = handoff_mark(pidfd)
        self.ours = ours
        if process_obj is not None:
            PyObject_GenericSetAttr(process_obj, "_popen", self)
            PyObject_GenericSetAttr(process_obj, "_sentinel", pidfd)
            _process._children.add(process_obj)

    def _adopt(self, process_obj, int pid, int pidfd, bint ours):
        """Called when the child exists. Takes pidfd over, and makes process_obj (or None) the child's."""
        self.adopt(process_obj, pid, pidfd, ours)

    def _fork(self, process_obj, intent=None, int wanted=-1, int rest=0):
        """Forks. The child runs process_obj and ends. In the parent it is the child's when this returns.

        intent: tells multiprocessing's hooks that the child is to keep the resource tracker's descriptor.
        wanted, rest: first the child waits on this socket for so many milliseconds, and ends if the other end is closed.

        OSError as os.fork(), and EMFILE, before there is a child, if there is no descriptor for the sentinel.
        """
        cdef sigset_t before
        cdef int pid, error, parent = getpid()
        if PyInterpreterState_Get() != PyInterpreterState_Main():
            raise RuntimeError("fork not supported for subinterpreters")
        cdef int room = child_room()  # so that there is a descriptor for the pidfd
        if room < 0:
            raise_call(room, "eventfd2")
        if is_replaced("fork"):
            self.fork_by_hook(process_obj, intent, room)
            return
        PySys_Audit("os.fork", NULL)
        child_hold_signals(&before)
        PyOS_BeforeFork()
        pid = c_fork()
        error = c_errno
        if pid == 0:
            if wanted >= 0 and is_dropped(wanted, rest):
                c_exit(0)
            PyOS_AfterFork_Child()
            c_close(room)
            if intent is not None:
                intent.preserve_fd = False
            live(process_obj, parent, &before)
        PyOS_AfterFork_Parent()
        if pid > 0:
            error = self.embrace(process_obj, pid, room)
        else:
            c_close(room)
        child_release_signals(&before)
        if error != 0 and (pid < 0 or self.pidfd < 0):
            raise_errno(-error)

    cdef fork_by_hook(self, process_obj, intent, int room):
        """The same through an os.fork() that a tool has replaced. A Ctrl-C may come between the fork and adopt()."""
        cdef sigset_t before
        cdef int pid, error, parent = getpid()
        try:
            pid = os.fork()
        except:
            c_close(room)
            raise
        if pid == 0:
            c_close(room)
            if intent is not None:
                intent.preserve_fd = False
            child_hold_signals(&before)
            live(process_obj, parent, &before)
        error = self.embrace(process_obj, pid, room)
        if error != 0:
            raise_errno(-error)

    def _data(self):
        """The descriptor from which the child is to read. It is a memory file's unless _hold() was called.

        Where a memory file is refused, it is that of a temporary file without a name.
        """
        if self.data < 0:
            self.data = message_file()
        if self.data < 0:
            if self.data not in _REFUSALS:
                raise_errno(self.data)
            from .lazy import temporary_file
            self.data = temporary_file()
        return self.data

    def _hold(self, bytes data not None):
        """Puts what the child is to read behind _data(). Returns whether it must be fed by _feed(), with the same data."""
        self.drop_data()
        cdef message_place place = message_place_for(len(data))
        cdef int rc = message_hold(PyBytes_AS_STRING(data), len(data), &self.feed)
        if place == MESSAGE_IN_FILE and rc in _REFUSALS:
            with open(self._data(), "wb", closefd=False) as file:
                file.write(data)
            os.lseek(self.data, 0, os.SEEK_SET)
            return False
        if rc < 0:
            raise_call(rc, _PLACES[place])
        self.data = rc
        return self.feed >= 0

    def _feed(self, bytes data not None):
        """Blocks until the child has read what _hold() found no place for, or has ended. Else there is nothing to do."""
        cdef ssize_t n = 0
        cdef size_t done = 0, size = len(data)
        cdef const char *bytes_ = PyBytes_AS_STRING(data)
        cdef int sock = self.feed, pidfd = self.pidfd
        while sock >= 0 and done < size and n != -EPIPE:
            with nogil:
                n = message_feed(sock, pidfd, bytes_ + done, size - done)
            if n == -EINTR:
                PyErr_CheckSignals()
            elif n < 0 and n != -EPIPE:
                raise_errno(<int>n)
            done += n if n > 0 else 0

    def _drop_data(self):
        self.drop_data()

    cdef void drop_data(self) noexcept:
        cdef int fd = self.data, feed = self.feed
        self.data = self.feed = -1
        if fd >= 0:
            c_close(fd)
        if feed >= 0:
            c_close(feed)

    def _exec(self, process_obj, executable, command, keep):
        """Starts a program with the descriptors `keep`, as process_obj unless that is None. Raises OSError."""
        cdef int error, code
        cdef int ends[2]  # the child says here why it cannot, and this reserves a descriptor for the pidfd
        if pipe2(ends, O_CLOEXEC | O_NONBLOCK) < 0:
            raise_call(-c_errno, "pipe2")
        error = descriptors_above(ends)
        if error < 0:
            raise_errno(error)
        try:
            pid = _posixsubprocess.fork_exec(
                command, [executable], True, tuple(sorted((*keep, ends[1]))), None, None, -1, -1, -1, -1, -1, -1, ends[0], ends[1],
                False, False, -1, None, None, None, -1, None, *_VFORK)
        except:
            c_close(ends[0])
            c_close(ends[1])
            raise
        c_close(ends[1])
        if process_obj is None:  # for others the exit code tells, as with multiprocessing
            error = failure_of(ends[0])
            if error != 0:
                c_close(ends[0])
                while child_reap(pid, True, &code) == -EINTR:
                    pass
                raise_errno(-error, None, None, executable)
        error = self.embrace(process_obj, pid, ends[0])
        if error != 0:
            raise_errno(-error)

    cdef int embrace(self, object process_obj, int pid, int room) noexcept:
        """Adopts a child that was just made, in place of the descriptor `room`. 0, or an errno if it was killed."""
        cdef int code, pidfd = child_open(pid)
        if pidfd == -EMFILE:
            c_close(room)
            room = -1
            pidfd = child_open(pid)
        if pidfd == -ESRCH and room >= 0:  # SIGCHLD is ignored, and the child is gone already
            pidfd, room = room, -1
        if room >= 0:
            c_close(room)
        if pidfd < 0:  # another thread took the descriptor
            c_kill(pid, SIGKILL)
            while child_reap(pid, True, &code) == -EINTR:
                pass
            return -pidfd
        self.adopt(process_obj, pid, pidfd, True)
        return 0

    @property
    def sentinel(self):
        """The pidfd. It is readable when the process has ended."""
        if self.pidfd < 0:
            raise AttributeError("sentinel")
        return self.pidfd

    def duplicate_for_child(self, fd):
        """Notes a descriptor that the child shall have. Returns its number there. After a fork the child has it."""
        return fd

    def _status_elsewhere(self, block):
        """The exit code of a child that ended, where the kernel does not tell it. None if it is not known yet."""
        return None if self.ours else 255

    def _status_of_zombie(self):
        """The exit code of a child that ended and was not reaped yet. None if it cannot be known."""
        return None

    cdef int collect(self, bint block) except -1:
        """Learns the exit code of a child that has ended. With block, waits for its end."""
        cdef int rc, code = 0, pid = self.pid
        if self.returncode is None and is_replaced("waitpid"):
            return self.collect_by_hook(block)
        while self.returncode is None:
            if not self.ours:
                return self.collect_elsewhere(block)
            if block:
                with nogil:
                    rc = child_reap(pid, True, &code)
            else:
                rc = child_reap(pid, False, &code)
            if rc == 1:
                self.returncode = code
            elif rc == -EINTR:
                PyErr_CheckSignals()
            elif rc == -ECHILD:
                return self.collect_elsewhere(block)
            else:
                return 0
        return 1

    cdef int collect_by_hook(self, bint block) except -1:
        """The same through an os.waitpid() that a tool has replaced, to run other code meanwhile or to reap itself."""
        if block:
            self.wait_by_hook(None)
        if self.ours:
            try:
                pid, status = os.waitpid(self.pid, 0 if block else _WNOHANG)
            except ChildProcessError:
                return self.collect_elsewhere(block)
            if pid == self.pid:
                self.returncode = os.waitstatus_to_exitcode(status)
            return self.returncode is not None
        return self.collect_elsewhere(block)

    cdef bint wait_by_hook(self, timeout) except -1:
        """Waits for the child's end as multiprocessing does, with the selectors that the tool has replaced as well."""
        from multiprocessing import connection
        if self.pidfd < 0 or handoff_mark(self.pidfd) != self.mark:
            return True
        return len(vars(connection)["wait"]([self.pidfd], timeout)) > 0  # from the dict, because the stand-in's is another

    cdef int collect_elsewhere(self, bint block) except -1:
        """The same for a child that other code reaps, or has reaped."""
        if self.pidfd < 0 or not self.ended(NEVER if block else 0):
            return 0
        rc = self.collect_info() if self.token == 0 else 0
        if rc == 0 and self.returncode is None:
            self.returncode = self._status_elsewhere(block)
        return self.returncode is not None

    cdef int collect_info(self) except -1:
        """Asks the kernel for the exit code, waiting until the child is reaped. 0 if it does not tell."""
        cdef int rc, code = 0, fd = self.pidfd, turns = 0
        cdef int64_t deadline = clock_now() + REAPING
        while True:
            rc = child_info(fd, &code)
            if rc == 1:
                self.returncode = code
            elif rc == 0 and turns > 0:  # the process that is to reap it is slow
                self.returncode = self._status_of_zombie()
            if rc != 0 or self.returncode is not None or clock_now() >= deadline:
                return self.returncode is not None
            turns += 1
            with nogil:
                rc = child_wait(fd, 0, clock_now() + MILLISECOND)
            if rc == -EINTR:
                PyErr_CheckSignals()

    cdef bint ended(self, int64_t deadline) except -1:
        cdef int rc, fd = self.pidfd
        while True:
            if deadline == 0:
                rc = child_wait(fd, POLLIN, 0)
            else:
                with nogil:
                    rc = child_wait(fd, POLLIN, deadline)
            if rc != -EINTR:
                return rc > 0
            PyErr_CheckSignals()

    def poll(self, int flag=_WNOHANG):
        """Returns the exit code, or None as long as there is none. With flag=0, waits for it."""
        if self.returncode is None:
            self.collect(not flag & _WNOHANG)
        return self.returncode

    def wait(self, timeout=None):
        """Waits until the child has ended, at most `timeout` seconds. Returns its exit code, or None."""
        cdef bint hook
        if self.returncode is None:
            hook = is_replaced("waitpid")
            if timeout is not None:
                deadline = _deadline(timeout)
                if not (self.wait_by_hook(timeout) if hook else self.ended(deadline)):
                    return None
            self.collect(timeout is None or hook and timeout != 0)
        return self.returncode

    def _send_signal(self, int sig):
        cdef int rc
        if self.returncode is not None or self.pidfd < 0:
            return
        if is_replaced("kill"):
            self.kill_by_hook(sig)
            return
        rc = child_signal(self.pidfd, sig)
        if rc == -EBADF or rc == -EINVAL:
            rc = self.signal_by_pid(sig)
        if rc < 0 and rc != -ESRCH and self.wait(0.1) is None:
            raise_errno(rc)

    cdef kill_by_hook(self, int sig):
        """Through an os.kill() that a tool has replaced."""
        try:
            os.kill(self.pid, sig)
        except ProcessLookupError:
            pass
        except OSError:
            if self.wait(0.1) is None:
                raise

    cdef int signal_by_pid(self, int sig) except? -1:
        """For a pidfd that was closed behind our back. A child of ours keeps its pid until we reap it."""
        cdef int code = 0
        if not self.ours:
            return -EBADF
        rc = child_reap(self.pid, False, &code)
        if rc == 1:
            self.returncode = code
        if rc == 0 and c_kill(self.pid, sig) < 0:
            return -c_errno
        return 0

    def interrupt(self):
        self._send_signal(signal.SIGINT)

    def terminate(self):
        self._send_signal(signal.SIGTERM)

    def kill(self):
        self._send_signal(signal.SIGKILL)

    def close(self):
        """Closes the sentinel."""
        self.close_pidfd()


cdef class ForkPopen(Child):
    """Starts a child by fork()."""

    method = "fork"

    def __init__(self, process_obj):
        flush_streams()
        if _WARNS and not is_replaced("fork"):  # which warns itself
            _warn_of_threads()
        tracker = _modules.get("multiprocessing.resource_tracker")
        intent = None if tracker is None else getattr(tracker, "_fork_intent", None)
        if intent is not None:
            intent.preserve_fd = True  # the child uses this process's resource tracker
        try:
            self._fork(process_obj, intent)
        finally:
            if intent is not None:
                intent.preserve_fd = False


cdef bint _WARNS = sys.version_info >= (3, 12)
cdef dict _modules = sys.modules


cdef _warn_of_threads():
    """os.fork() warns from 3.12 on, when there is a child already.

    A filter may make the warning an exception. Up to 3.14 os.fork() drops that, and the child runs. 3.15 raises it and
    leaves a child that the program does not know of. Here it is raised before there is one.
    """
    try:
        threads = os.stat("/proc/self/task").st_nlink - 2
    except OSError:
        return
    if threads <= 1:
        return
    import warnings
    try:
        warnings.warn(f"This process (pid={getpid()}) is multi-threaded, "
                      "use of fork() may lead to deadlocks in the child.", DeprecationWarning, stacklevel=2)
    except DeprecationWarning:
        if sys.version_info >= (3, 15):
            raise


cpdef check(process_obj):
    """May this process be started? Raises what BaseProcess.start() does."""
    if process_obj._closed:
        process_obj._check_closed()
    assert process_obj._popen is None, "cannot start a process twice"
    assert process_obj._parent_pid == getpid(), "can only start a process object created by current process"
    may = getattr(_process._current_process, "_mpfast_may_have_children", False)  # a pool's worker, which ends them
    assert may or not _process._current_process._config.get("daemon"), "daemonic processes are not allowed to have children"


def start(process_obj):
    """Starts a process as BaseProcess.start(), but without asking each child by itself whether it lives."""
    if not is_own(_process.BaseProcess.start, _process.__dict__):
        _process.BaseProcess.start(process_obj)
        return
    check(process_obj)
    if is_own(_process._cleanup, _process.__dict__):
        cleanup(_process._children)
    else:
        _process._cleanup()
    popen = process_obj._Popen(process_obj)
    if process_obj._popen is None:  # Child.adopt() has done that, at the instant when the child began to exist
        process_obj._popen = popen
        process_obj._sentinel = popen.sentinel
        _process._children.add(process_obj)
    # What the target refers to is the child's now. It may even refer to this object.
    del process_obj._target, process_obj._args, process_obj._kwargs


def cleanup(set children):
    """Reaps and forgets the processes that have ended. It is multiprocessing.process._cleanup() in one system call."""
    cdef Child child
    cdef pollfd *fds
    cdef Py_ssize_t i, n = 0
    if not children:
        return
    watched = list(children)
    fds = <pollfd *>calloc(len(watched), sizeof(pollfd))
    if fds == NULL:
        raise MemoryError()
    try:
        for process in watched:
            popen = process._popen
            fds[n].events = POLLIN
            fds[n].fd = -1  # poll() passes it over
            if isinstance(popen, Child):
                child = popen
                if child.returncode is None:
                    fds[n].fd = child.pidfd
            n += 1
        if c_poll(fds, n, 0) < 0:
            for i in range(n):
                fds[i].fd = -1
        for i in range(n):
            if fds[i].fd >= 0 and fds[i].revents == 0:
                continue
            popen = watched[i]._popen
            if popen is not None and popen.poll() is not None:
                children.discard(watched[i])
    finally:
        free(fds)


def above(int fd):
    """Takes a descriptor over. Returns one of the same file that is no standard stream's, closed by exec. OSError."""
    cdef int rc = descriptor_above(fd) if fd >= 0 else -EBADF
    if rc < 0:
        raise_errno(rc)
    return rc


def files_may_have(uint64_t size):
    """Does the limit on the size of files (RLIMIT_FSIZE) allow so many bytes? ANY_SIZE: is there none?"""
    return filesize_allowed(size)


def ended(int pidfd):
    """Has the process ended?"""
    return child_wait(pidfd, POLLIN, 0) > 0


def open_child(int pid):
    """Returns the pidfd of a child that only the kernel reaps. ProcessLookupError if it has ended. OSError."""
    cdef int pidfd = child_open_ours(pid)
    if pidfd < 0:
        raise_errno(pidfd)
    return pidfd


def trial():
    """Tries whether the kernel tells the exit code of a process that was reaped. 0 if it does, else an -errno."""
    return child_info_try()
