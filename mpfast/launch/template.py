# SPDX-License-Identifier: MIT
"""A template: a fork server that is made by fork. Its spares are copies of this process as it was then.

A pool makes one, so that its workers can be replaced while this process has threads, and by processes that see the same
objects as the first ones. This is the side of the process that has it. The template's own side is templated.py.
"""

from __future__ import annotations

import contextlib
import os
import posix
import signal
import threading
from multiprocessing import process, util

from .child import Child, above, available, hooked
from .forkserver.exits import Source, kernel_tells
from .forkserver.pairs import pair
from .forkserver.served import Served
from .forkserver.spares import Spares

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from multiprocessing.process import BaseProcess
    from socket import socket
    from typing import Any

__all__ = ["Template", "usable"]

REST = 20  # milliseconds for which a new template leaves the CPUs to others, unless a spare is wanted
GRACE = 0.2  # seconds that a template has to end by itself. It needs one thousandth of it, unless it is stopped


def usable() -> bool:
    """Can there be a template? Not where a tool takes part in each fork, or where mpfast launches no processes."""
    return available() is None and hooked("fork") is None and os.fork is posix.fork


class _Founder:
    """What Child._fork() takes for a process. Its life is the template's."""

    def __init__(self, template: Template, ours: socket, theirs: socket, table: int | None) -> None:
        self._config = {"daemon": False}  # it watches this process by itself
        self._template, self._table = template, table
        self._owner = os.getpid()
        self.ours, self.theirs = ours, theirs

    def _bootstrap(self, parent_sentinel: int | None = None) -> int:
        ctl = os.dup(self.theirs.fileno())
        self.close()
        self._template.forget()
        signal.set_wakeup_fd(-1)
        interrupt = signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        from .templated import serve

        return serve(above(ctl), self._owner, self._table, self._template, interrupt)

    def close(self) -> None:
        self.ours.close()
        self.theirs.close()


class Template:
    """A template that found() forks from this process. It ends with the process, or by close().

    revive: revive(data) makes the process object of a spare, from what start() is given. It is called in the spare.
    at_once: spares are wanted before the processes that were just started have had time to start.

    Safe to use from any thread. OSError if it cannot be made.
    """

    def __init__(self, revive: Callable[[bytes], BaseProcess], at_once: bool = False) -> None:
        self.revive = revive
        self._lock = threading.RLock()
        self._ended = False
        self._rest = 0 if at_once else REST
        self.mask: Any = ()
        self._child = Child()
        self._source = None if kernel_tells() else Source(self._child)
        ours, theirs = pair()
        table = None if self._source is None else self._source.table.fileno()
        self._founder: Any = _Founder(self, ours, theirs, table)
        try:
            self._spares = Spares(ours.fileno(), self._child, self._source)
        except BaseException:
            self._drop_founder()  # else this object, and all that `revive` has, would wait for the collector
            raise

    def found(self) -> None:
        """Forks it. After an exception, close() is still to be called."""
        founder, self._founder = self._founder, None  # not this object's, which a forked child forgets
        util._flush_std_streams()  # type: ignore[attr-defined]
        before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
        self.mask = before
        signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT,))  # until the template ignores it
        try:
            self._child._fork(founder, None, founder.theirs.fileno(), self._rest)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
            process._children.discard(founder)  # type: ignore[attr-defined]  # it is none of the program's
            founder.close()
        if self._source is not None:
            self._source.table.release()
        self._spares.expect(1)

    def _drop_founder(self) -> None:
        """It refers to this object, and has the other end of the socket."""
        founder, self._founder = self._founder, None
        if founder is not None:
            founder.close()

    @property
    def pid(self) -> int:
        return self._child.pid

    @property
    def spares(self) -> list[int]:
        """The pids of the spares that wait."""
        return self._spares.pids

    def runs(self) -> bool:
        """Can it make spares? Not once it has been found dead."""
        return not self._ended

    def fileno(self) -> int:
        """A descriptor that is readable when gather() is to be called."""
        return self._spares.fileno()

    def start(self, process_obj: Any, data: bytes) -> bool:
        """Makes a spare the process, which was not started yet. False: none waits. It is ordered then. OSError."""
        with self._lock:
            self.gather()
            started = self._spares.hand_over(_Replacement(), process_obj, data, [])
            self._order(hurry=not started)
        if started:
            del process_obj._target, process_obj._args, process_obj._kwargs
        return started

    def gather(self) -> bool:
        """Takes in the spares that are there. Does one wait? OSError says why there is none."""
        with self._lock:
            try:
                while self._spares.asked > 0 and self._spares.welcome(False):
                    pass
            except EOFError:
                self._ended = True
            found = len(self._spares) > 0
            if (
                not found and self._child.poll() is not None
            ):  # processes forked meanwhile may have its end of the socket
                self._ended = True
            return found

    def _order(self, hurry: bool) -> None:
        """Has one spare wait, or on its way. hurry: the template is not to rest."""
        missing = len(self._spares) + self._spares.asked == 0
        if self._ended or not (missing or hurry):
            return
        try:
            self._spares.ask(int(missing), -1, 0)
        except EOFError:
            self._ended = True

    def close(self) -> None:
        """Lets the spares and the template go. Returns at once."""
        with self._lock:
            with contextlib.suppress(OSError):
                self.gather()
            self._ended = True
            self._spares.hang_up()
            self._spares.kill()
            self._spares.close()
            self._drop_founder()

    def join(self) -> None:
        """After close(): waits for the template's end. One that is stopped is killed."""
        child = self._child
        if child.pid and child.wait(GRACE) is None:
            with contextlib.suppress(OSError):
                child.kill()
            child.wait()

    def forget(self) -> None:
        """Called in a forked child. The spares are its parent's."""
        self._ended = True
        self._drop_founder()
        self._spares.close()


class _Replacement(Served):
    """The Popen object of a process that was a template's spare."""

    method = "fork"
