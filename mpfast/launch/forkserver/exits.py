# SPDX-License-Identifier: MIT
"""How the fork server's children are reaped, and how the client learns of their ends.

From Linux 6.15 on a pidfd tells the exit status of any process that was reaped, so the kernel does it all. Where it
does not tell, the server writes it into a table (exit_table.pyx) that it shares with the client.
"""

from __future__ import annotations

import errno
import os
import signal

from ..child import Child, above, files_may_have, open_child, trial
from ..child import ended as has_ended

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .exit_table import Table

__all__ = ["KernelReaps", "ServerReaps", "Source", "is_refused", "kernel_tells", "tells"]

SMALL = 64  # bytes. That one tries a temporary directory with a file of four
LIMITS = (errno.EMFILE, errno.ENFILE, errno.EAGAIN, errno.ENOMEM)  # these say nothing about the kernel
PATIENCE = 1.0  # seconds within which a server that lives tells of an end


_answer: tuple[int, str | None] | None = None  # and the pid of the process that has tried


def tells() -> str | None:
    """Why the kernel does not tell the exit code of a process that was reaped. None if it does.

    It is tried once in each process, on a child that ends at once. The program's own wait() and SIGCHLD see nothing of
    it.
    """
    global _answer
    if _answer is not None and _answer[0] == os.getpid():
        return _answer[1]
    error, why = -trial(), None
    if error != 0:
        what = "tells of living processes only" if error == errno.EOPNOTSUPP else os.strerror(error)
        why = f"PIDFD_GET_INFO: {what}"
    if error not in LIMITS:
        _answer = os.getpid(), why
    return why


def kernel_tells() -> bool:
    """Does the kernel tell the exit status of another process's child? It is tried, as its version says too little."""
    return os.environ.get("MPFAST_LAUNCH") != "table" and tells() is None


def is_refused() -> bool:
    """Does a limit on the size of files forbid the table, though not what multiprocessing's fork server wants?"""
    if kernel_tells():
        return False
    from .exit_table import Table

    try:
        Table()
    except OSError as error:
        return error.errno == errno.EFBIG and files_may_have(SMALL)
    return False


class Source:
    """Where the client learns of the children's ends if the kernel does not tell. One for each server."""

    def __init__(self, server: Child) -> None:
        from .exit_table import Table

        self.table = Table()
        self._server = server

    def result(self, token: int) -> int | None:
        """The exit code of a child that has ended. None if the server has not told yet, or was killed before."""
        told = self.table.result(token, PATIENCE, self._server.sentinel)
        return None if told is None else told[0]

    def ended(self) -> bool:
        """Has the server ended?"""
        return has_ended(self._server.sentinel)

    def drop(self, token: int) -> None:
        """The exit code is not wanted any more."""
        self.table.drop(token)


class KernelReaps:
    """The kernel reaps the children. SIGCHLD is ignored, so the server is not even woken."""

    wake = -1  # a descriptor that is readable when there is something to reap
    token = 0  # of the table, for the spare that is about to be made

    def begin(self) -> None:
        self._before = signal.signal(signal.SIGCHLD, signal.SIG_IGN) or signal.SIG_DFL  # the children's

    def prepare(self) -> None:
        """Called before a spare is made. OSError."""

    def failed(self) -> None:
        """Called if none could be made."""

    def open(self, pid: int) -> int:
        """Returns the spare's pidfd. ProcessLookupError if it has ended already."""
        return open_child(pid)

    def in_child(self) -> None:
        signal.signal(signal.SIGCHLD, self._before)

    def said(self, code: int) -> None:
        """Called in the child. This will be its exit code."""

    def reap(self) -> bool:
        """Reaps the children that have ended. Returns whether there are others."""
        try:
            os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return False
        return True


class ServerReaps:
    """The server reaps the children, and notes their ends in the table."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self._tokens: dict[int, int] = {}
        self.token = 0
        self.wake = -1
        self._wakes = -1

    def begin(self) -> None:
        self.wake, self._wakes = map(above, os.pipe())
        os.set_blocking(self.wake, False)
        os.set_blocking(self._wakes, False)
        self._before = signal.signal(signal.SIGCHLD, lambda *_: None) or signal.SIG_DFL  # the children's
        signal.set_wakeup_fd(self._wakes, warn_on_full_buffer=False)

    def prepare(self) -> None:
        self.reap()  # makes room
        self.token = self._table.take()

    def failed(self) -> None:
        self._table.reaped(self.token, 0)

    def open(self, pid: int) -> int:
        self._tokens[pid] = self.token
        self._table.born(self.token, pid)
        return above(os.pidfd_open(pid))

    def in_child(self) -> None:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, self._before)
        os.close(self.wake)
        os.close(self._wakes)

    def said(self, code: int) -> None:
        self._table.said(self.token, code)

    def reap(self) -> bool:
        try:
            while os.read(self.wake, 4096):
                pass
        except BlockingIOError:
            pass
        try:
            # Told before it is reaped. If we are killed in between, the process that inherits it can still reap it.
            while ended := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT):
                self._tell(ended.si_pid, ended.si_status if ended.si_code == os.CLD_EXITED else -ended.si_status)
                os.waitpid(ended.si_pid, 0)
        except ChildProcessError:
            return False
        except OSError:  # a filter refuses waitid()
            return self._reap_first()
        return True

    def _reap_first(self) -> bool:
        """Reaps, then tells. If we are killed in between, the client takes what the child said of itself."""
        try:
            while (ended := os.waitpid(-1, os.WNOHANG))[0]:
                self._tell(ended[0], os.waitstatus_to_exitcode(ended[1]))
        except ChildProcessError:
            return False
        return True

    def _tell(self, pid: int, code: int) -> None:
        token = self._tokens.pop(pid, 0)
        if token:
            self._table.reaped(token, code)
