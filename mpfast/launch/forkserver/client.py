# SPDX-License-Identifier: MIT
"""This process's side of its fork server, the client. It starts the server when it is first needed, asks it for spares,
and replaces it when it has ended or is of no use any more. The server's side is server.py.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from errno import EACCES, EAFNOSUPPORT, ECHILD, ENOSYS, EPERM, EPROTONOSUPPORT
from multiprocessing import spawn, util
from pickle import dumps

from .. import child
from ..child import Child
from ..spawn import PLACE, standin
from . import inherit
from .exits import Source, kernel_tells
from .pairs import pair
from .served import stat_of
from .spares import Spares

TYPE_CHECKING = False
if TYPE_CHECKING:
    from multiprocessing.process import BaseProcess
    from typing import Any

__all__ = ["client"]

PROGRAM = """\
import gc; gc.disable()
import sys, atexit, signal, threading, multiprocessing.forkserver, multiprocessing.spawn
sys.path.insert(0, {place!r})
{first}
from mpfast.launch.forkserver.server import main
main({socket}, {data}, {parent})
"""
# What the server loads when it has made its first spare. A child may start children, or be given such objects.
LAUNCHERS = (
    *("mpfast.launch.spawn", "mpfast.launch.dump"),
    *(f"mpfast.launch.forkserver.{name}" for name in ("client", "spares", "popen", "control", "exit_table")),
)
COMMON = ("mpfast.connection", "mpfast.synchronize", "mpfast.queues", "multiprocessing.popen_forkserver")
READY = 2  # spares that are kept when starts are rare
MOST = max(READY, min(os.cpu_count() or 1, 8))
STILLBORN = 16  # times that a start() finds only spares that have ended already, until that is an error
PAUSE = 1  # milliseconds that a child has for itself where there is one CPU, before the server makes the next spare
SLOW = 500  # milliseconds that a start() waits for a spare, before it looks whether the server is stopped
IDLE = 10.0  # seconds until spares for a burst of starts end, and no more than READY are kept


def _whose() -> tuple[Any, ...]:
    """What a server's children have from the process that started the server, and cannot be told to change."""
    users = os.getresuid(), os.getresgid(), tuple(os.getgroups())
    return os.getpid(), *users, tuple(sys.warnoptions), tuple(sys._xoptions.items())


def _kill_if_stopped(server: Child) -> None:
    """A server that is stopped (SIGSTOP) may be so for ever. Its children live on, and another one takes its place."""
    try:
        stopped = stat_of(server.pid)[0] == b"T"
    except (OSError, IndexError):
        return
    if stopped:
        server.kill()


class Client:
    """The client of this process's fork server. Safe to use from any thread."""

    def __init__(self) -> None:
        self._lock = threading.RLock()  # a signal handler may start a process, too
        self._whose: tuple[Any, ...] = ()
        self._process: Child | None = None
        self._ended: list[Child] = []  # former servers, until they are reaped
        self._spares: Spares | None = None
        self._state: dict[str, Any] = {}  # ours when it was started
        self._preloads = False
        self._name = "ForkServerProcess-1"  # of the process for which the server is started
        self._cpus: set[int] = set()
        self._ready = READY
        self._target = READY
        self._hurry = 0.0  # when no spare was ready for a start()
        self._refused: str | bool | None = False  # not asked yet
        self.on_error = "ignore"

    def forget(self) -> None:
        """Called in a forked child. The server and its spares are the parent's."""
        if self._spares is not None:
            self._spares.close()  # the Child object stays, to tell how one of the parent's children ended
        on_error = self.on_error
        self.__init__()  # type: ignore[misc]
        self.on_error = on_error

    # Its life

    def refused(self) -> str | None:
        """What a filter refuses that the server needs, asked before the first start. None if there is nothing."""
        if self._refused is False:
            self._refused = None
            what = "SOCK_SEQPACKET"
            try:
                for end in pair():
                    end.close()
                what = "a memory file"
                if not kernel_tells():
                    Source(Child()).table.release()
            except OSError as e:
                if e.errno in (EPERM, EACCES, ENOSYS, EPROTONOSUPPORT, EAFNOSUPPORT):
                    self._refused = f"{what}: {e.strerror}"
        return self._refused  # type: ignore[return-value]

    def _ensure(self) -> Spares:
        """Makes sure that there is a server, of this process and its present user id."""
        if self._spares is not None and self._whose != _whose():
            self._drop()
        if self._spares is None:
            self._start(preload=True)
        assert self._spares is not None
        return self._spares

    def _drop(self) -> None:
        """Lets go of the server and of the spares, so that they end."""
        process, spares = self._process, self._spares
        if process is not None:
            self._ended.append(process)
        if self._process is process:  # else a signal handler has begun another one by now
            self._process = self._spares = None
        if spares is not None:
            spares.close()
        self._reap()

    def _reap(self) -> None:
        self._ended = [child for child in self._ended if child.pid and child.poll() is None]

    def _start(self, preload: bool) -> None:
        """Starts a server. A signal handler may start one meanwhile, so it becomes ours all at once, when it runs."""
        child = Child()
        source = None if kernel_tells() else Source(child)
        whose, present = _whose(), inherit.gather()
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, ())
        try:
            signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT,))  # until the server ignores it
            spares = self._exec(child, source, self._orders(present, preload))
            if source is not None:
                source.table.release()
            before, others = self._process, self._spares
            self._process, self._spares = child, spares
            self._whose, self._state, self._preloads = whose, present, preload
            if before is not None:
                self._ended.append(before)
            if others is not None:
                others.close()
        except BaseException:
            self._ended.append(child)
            raise
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)

    def _exec(self, child: Child, source: Source | None, orders: dict[str, Any]) -> Spares:
        """Makes the server. It ends when the result is no longer referred to."""
        table = None if source is None else source.table.fileno()
        ours, theirs = pair()
        with ours, theirs:
            spares = Spares(ours.fileno(), child, source)
            self._run(child, theirs.fileno(), table, orders)
        return spares

    def _run(self, child: Child, theirs: int, table: int | None, orders: dict[str, Any]) -> None:
        try:
            self._run_with(child, theirs, table, orders)
        finally:
            child._drop_data()

    def _run_with(self, child: Child, theirs: int, table: int | None, orders: dict[str, Any]) -> None:
        message = dumps({**orders, "table": table})
        child._hold(message)
        executable: Any = spawn.get_executable()
        program = PROGRAM.format(place=PLACE, first=standin(), socket=theirs, data=child._data(), parent=os.getpid())
        flags = util._args_from_interpreter_flags()  # type: ignore[attr-defined]
        keep = [theirs, child._data(), *([] if table is None else [table])]
        child._exec(None, executable, [executable, *flags, "-c", program], keep)
        child._feed(message)

    def _orders(self, present: dict[str, Any], preload: bool) -> dict[str, Any]:
        """What the server is to load, and the state that it is to have."""
        settings: Any = sys.modules.get("multiprocessing.forkserver")
        modules = ["__main__"] if settings is None else list(settings._forkserver._preload_modules)
        ours = [m for m in sys.modules if m.startswith(("multiprocessing.", "mpfast.")) and not m.endswith("__main__")]
        return {
            "state": present,
            "main": inherit.main_module(),
            "process_class": child.process_class,
            "name": self._name,
            "preload_main": preload and "__main__" in modules,
            "preload": [module for module in modules if module != "__main__"] if preload else [],
            "on_error": self.on_error,
            "modules": [module for module in ours if module not in LAUNCHERS],
            "later": [*LAUNCHERS, *COMMON],
        }

    def _replace(self, spares: Spares) -> None:
        """The server has ended. If it never had a spare, the modules that it loaded may have ended it."""
        heard, preloads = spares.heard, self._preloads
        code = None if self._process is None else self._process.wait(1)
        if self._spares is not spares:  # a signal handler has done it
            return
        self._drop()
        if not heard and (self.on_error == "fail" or not preloads):
            why = "its standard error says why"
            raise EOFError(f"the fork server ended before it had a child (exit code {code}), {why}")
        self._start(preload=heard or not preloads)  # else the children load it, and say what is wrong

    # Its children

    def changes(self, name: str) -> dict[str, Any]:
        """Starts the server if there is none. Returns what has changed since it was started, for process `name`."""
        with self._lock:
            self._name = name
            self._ensure()
            now = inherit.gather()
            self._cpus = now["affinity"]
            changed = {key: value for key, value in now.items() if self._state.get(key) != value}
            return {"name": name, **changed}

    def hand_over(self, child: Child, process_obj: BaseProcess, data: bytes, fds: list[int]) -> None:
        """Gives the process to a spare, and waits for one if there is none. EOFError if no server can run. OSError."""
        with self._lock:
            spares = self._ensure() if self._spares is None else self._spares
            stillborn = 0
            while not spares.hand_over(child, process_obj, data, fds):
                if not self._gather(spares):
                    spares = self._wait(spares)
                stillborn += len(spares) > 0
                if stillborn > STILLBORN:
                    raise ChildProcessError(ECHILD, "the fork server's spares end before they are handed a process")
            self._gather(spares)
            self._refill(spares)

    def _gather(self, spares: Spares) -> bool:
        """Takes in the spares that are reported already. An error of one is told to the call that waits for it."""
        found = False
        try:
            while spares.asked > 0 and spares.welcome(False):
                found = True
        except (EOFError, OSError):
            pass
        return found

    def _wait(self, spares: Spares) -> Spares:
        """Waits for one more spare. Replaces a server that has ended meanwhile."""
        self._target = min(max(self._target + 1, self._ready), max(MOST, self._ready))
        self._hurry = time.monotonic()
        try:
            spares.ask(1 if spares.asked <= 0 else 0, -1, 0)  # which also ends the server's pause
            if not spares.welcome(True, SLOW) and self._process is not None:
                _kill_if_stopped(self._process)
        except EOFError:
            if self._spares is spares:  # else a signal handler, or _order(), has replaced it already
                self._replace(spares)
        return self._ensure()

    def _refill(self, spares: Spares) -> None:
        """Asks for the spares of the next starts. In a burst of starts there are more, which end when they are idle."""
        if self._target > self._ready and time.monotonic() - self._hurry > IDLE:
            self._target = self._ready
        try:
            self._order(spares, self._target, PAUSE if len(self._cpus) == 1 else 0)
        except (EOFError, OSError):  # the next start() raises it
            return

    def _order(self, spares: Spares, n: int, pause: int = 0) -> None:
        """Asks for spares until n wait or are on their way."""
        there = len(spares) + spares.asked
        lasting = min(max(self._ready - there, 0), n - there)
        try:
            if lasting > 0 and not spares.ask(lasting, -1, pause):
                return
            if n - there > max(lasting, 0):
                spares.ask(n - there - max(lasting, 0), int(IDLE * 1000), pause)
        except EOFError:
            if spares.heard and self._spares is spares:
                self._replace(spares)

    def expect(self, n: int) -> None:
        """Asks for n spares, because so many processes are about to be started."""
        with self._lock:
            self._order(self._ensure(), n)

    def prewarm(self, n: int) -> None:
        """Starts the server if there is none, and blocks until n spares wait. So many are kept ready from now on.

        OSError, and EOFError if no server can run.
        """
        with self._lock:
            self._ready = max(READY, n)
            spares = self._ensure()
            self._gather(spares)
            self._order(spares, n)
            while len(spares) < n:
                spares = self._wait(spares)
                self._order(spares, n)

    def stop(self) -> None:
        """Ends the server and the spares, and waits for the server's end. The next start() begins another one."""
        with self._lock:
            process = self._process
            self._drop()
            if process is not None:
                process.wait()
                self._reap()

    def runs(self) -> bool:
        """Was a server started?"""
        return self._spares is not None

    # For tests and tools

    def processes(self) -> set[int]:
        """The pids of the server and its spares."""
        if self._process is None or self._spares is None:
            return set()
        return {self._process.pid, *self._spares.pids}

    def descriptors(self) -> list[int]:
        """The descriptors of the spares."""
        return [] if self._spares is None else self._spares.fds

    def rest(self) -> None:
        """Takes in all spares that were asked for, and lets those go that are for a burst of starts."""
        with self._lock:
            spares = self._spares
            try:
                while spares is not None and spares.asked > 0:
                    spares.welcome(True)
            except (EOFError, OSError):
                return
            if spares is not None:
                spares.release(READY)
            self._ready = self._target = READY


client = Client()
os.register_at_fork(after_in_child=client.forget)
