# SPDX-License-Identifier: MIT
"""Nursery: a process that forks spares when its client asks for them. A fork server is one, and a pool's template.

It has one thread and does nothing but fork. It ends with its client. The client's side is spares.pyx.
"""

from __future__ import annotations

import errno
import os
import select
import socket
import struct
from abc import abstractmethod

from .. import handoff
from .exits import KernelReaps, ServerReaps
from .pairs import pair

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn

__all__ = ["Nursery", "poll_for"]

_REQUEST = struct.Struct("=iii")  # spares.pyx's request and report
_REPORT = struct.Struct("=iiQ")
STILLBORN = 16  # spares in a row that end at once, until that is an error


class Nursery:
    """ctl: the socket to the client. parent: the client's pidfd.

    table: for the exit codes, None if the kernel tells them.
    """

    def __init__(self, ctl: int, parent: int, table: int | None) -> None:
        self.ctl = socket.socket(fileno=ctl)
        self.parent = parent
        self.pid = os.getpid()  # asked here, since a spare may run for the first time when this process has ended
        self.interrupt: Any = 0  # the children's handler of SIGINT
        self.mask: Any = ()  # their signal mask
        self.reaps = _reaps(table)

    @abstractmethod
    def be_spare(self, sock: socket.socket, idle: int) -> NoReturn:
        """In the forked process: waits on the socket and becomes what comes. idle: milliseconds, -1 is without end."""

    @abstractmethod
    def rehearse(self) -> None:
        """Takes the steps of a spare that becomes a process, with one that does nothing."""

    def has_time(self) -> None:
        """Called when the first spares are made, and nobody waits."""

    def serve(self) -> None:
        """After reaps.begin(): forks as many spares as it is asked for, until its client lets go of it."""
        first = True
        while asked := self._asked():
            n, idle, pause = _REQUEST.unpack(asked[4:])  # before it, the number of descriptors, which is 0
            if pause > 0:
                self._pause(pause)
            for _ in range(n):
                self.fork(idle)
            if first:
                first = False
                self.has_time()
        self.ctl.close()
        self.linger()

    def _asked(self) -> bytes:
        """Returns the next request, empty if there will be none. Meanwhile it reaps the children that have ended.

        It also watches for the client's end, because a process forked meanwhile may have the client's descriptors.
        """
        ctl, wake = self.ctl.fileno(), self.reaps.wake
        poll = poll_for(ctl, self.parent, *((wake,) if wake >= 0 else ()))
        while ctl not in (ready := [fd for fd, _ in poll.poll()]):
            if self.parent in ready:
                return b""
            self.reaps.reap()
        try:
            return self.ctl.recv(64)
        except ConnectionResetError:
            return b""

    def _pause(self, milliseconds: int) -> None:
        """Waits, at most until the next request. If there is one CPU, fork() would keep it from the newest child."""
        poll_for(self.ctl.fileno()).poll(milliseconds)

    def fork(self, idle: int) -> None:
        """Makes one more spare. Sends the client what it needs to hand it a process, or why there is none."""
        try:
            if not any(self._fork(idle) for _ in range(STILLBORN)):
                raise ChildProcessError(errno.ECHILD, "they all ended at once")
        except (BrokenPipeError, ConnectionResetError):  # the client does not want them any more, as we shall hear
            pass
        except OSError as e:
            handoff.send(self.ctl.fileno(), _REPORT.pack(0, e.errno or errno.EAGAIN, 0))

    def _fork(self, idle: int) -> bool:
        ours, theirs = pair()
        with ours, theirs:
            self.reaps.prepare()
            try:
                pid = os.fork()
            except OSError:
                self.reaps.failed()
                raise
            if pid == 0:
                theirs.close()
                self.ctl.close()
                self.reaps.in_child()
                self.be_spare(ours, idle)
            ours.close()  # else the client would not see at once that the spare has died
            try:
                pidfd = self.reaps.open(pid)
            except ProcessLookupError:
                return False
            try:
                handoff.send(self.ctl.fileno(), _REPORT.pack(pid, 0, self.reaps.token), [pidfd, theirs.fileno()])
            finally:
                os.close(pidfd)
        return True

    def linger(self) -> None:
        """Daemons end when this process does. So it stays until the client ends, or until there are no children."""
        fds = [self.parent] if self.reaps.wake < 0 else [self.parent, self.reaps.wake]
        poll = poll_for(*fds)
        while self.parent not in (fd for fd, _ in poll.poll(500)):
            if not self.reaps.reap():
                return


def poll_for(*fds: int) -> select.poll:
    """Something to wait with until one of the descriptors is readable."""
    poll = select.poll()
    for fd in fds:
        poll.register(fd, select.POLLIN)
    return poll


def _reaps(table: int | None) -> KernelReaps | ServerReaps:
    if table is None:
        return KernelReaps()
    from .exit_table import Table

    return ServerReaps(Table(table))
