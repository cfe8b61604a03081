# SPDX-License-Identifier: MIT
"""The start method forkserver: a server that has the main module loaded, and children of it that are ready to run.

A start is one message to a child that waits; its pid and its sentinel are known already, so nobody is waited for.
"""

from __future__ import annotations

import io
import os
import signal
import socket
import struct
import sys
import threading
from multiprocessing import forkserver, reduction, spawn, util
from multiprocessing.context import set_spawning_popen
from multiprocessing.popen_forkserver import _DupFd
from multiprocessing.process import BaseProcess
from pickle import dumps

from .byvalue import dump
from .launch import Child
from .parked import Parked
from .spawning import PLACE, tracker_fd, usable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["ForkServerPopen", "server", "why_not"]

PROGRAM = """\
import sys, atexit, signal, threading, multiprocessing.forkserver, multiprocessing.spawn
sys.path.insert(0, {place!r})
from mpfast.server import main
main({ctl}, {data}, {parent})
"""
INLINE = 100_000  # bytes that go with the message; what is longer goes in a memory file
READY = 2  # children that wait when nobody is in a hurry
MOST = max(READY, min(os.cpu_count() or 1, 8))
PATIENCE = 1.0  # seconds until a child that was asked for, and of which nothing is heard, is asked for again


def why_not() -> str | None:
    """Why children come from multiprocessing's fork server here; None: they come from mpfast's."""
    try:
        release = tuple(map(int, os.uname().release.split("-")[0].split(".")[:2]))
    except ValueError:
        release = (0,)
    if release < (6, 15):
        return "the exit status of a process that is no child of ours: Linux 6.15 tells it"
    if not usable():
        return "set_executable()"
    return None


def _state() -> dict[str, Any]:
    """What a child takes over from this process, as it is now."""
    preparation: dict[str, Any] = spawn.get_preparation_data("")  # type: ignore[attr-defined]
    for name in ("name", "init_main_from_name", "init_main_from_path"):
        preparation.pop(name, None)
    preparation["authkey"] = bytes(preparation["authkey"])
    preparation["dir"] = os.getcwd()
    preparation["environ"] = dict(os.environ._data)  # type: ignore[attr-defined]  # os.environ decodes each of them
    preparation["mask"] = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    preparation["affinity"] = os.sched_getaffinity(0)
    return preparation


class _Server:
    """This process's fork server, started when it is first needed."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._who: object = None
        self._process: Child | None = None
        self._ctl: socket.socket | None = None
        self._parked = Parked()
        self._state: dict[str, Any] = {}
        self._target = READY
        self._heard = False  # of its first child

    def forget(self) -> None:
        """In a forked child: the server and its children are the parent's. Also lets go of a server that is no use."""
        if self._ctl is not None:
            self._ctl.close()
        if self._process is not None:
            self._process.close()
        self._parked.close()
        self.__init__()  # type: ignore[misc]

    def ensure(self) -> None:
        """There is a server, of this process and its present user."""
        who = (os.getpid(), os.geteuid(), os.getegid())
        if self._ctl is not None and self._who != who:
            self._drop()
        if self._ctl is None:
            self._start(who, preload=True)

    def _drop(self) -> None:
        ctl, self._ctl = self._ctl, None
        if ctl is not None:
            ctl.close()
        self._parked.close()
        if self._process is not None:
            self._process.poll()
            self._process.close()
            self._process = None

    def _start(self, who: object, preload: bool) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        child = Child()
        self._state = _state()
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT,))  # until the server ignores it
        try:
            with theirs, open(child._data(), "wb", closefd=False) as file:
                file.write(dumps(self._init(preload)))
                file.flush()
                os.lseek(child._data(), 0, os.SEEK_SET)
                executable: Any = spawn.get_executable()
                program = PROGRAM.format(place=PLACE, ctl=theirs.fileno(), data=child._data(), parent=os.getpid())
                flags = util._args_from_interpreter_flags()  # type: ignore[attr-defined]
                keep = tuple(sorted((theirs.fileno(), child._data())))
                child._exec(None, executable, [executable, *flags, "-c", program], keep)
        except BaseException:
            ours.close()
            raise
        finally:
            child._drop_data()
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        self._process, self._ctl, self._who, self._heard = child, ours, who, False
        self._parked = Parked()
        self._parked.expect(READY)

    def _init(self, preload: bool) -> dict[str, Any]:
        """What the server is to load, and to be."""
        main: dict[str, Any] = spawn.get_preparation_data("")  # type: ignore[attr-defined]
        settings: Any = forkserver._forkserver  # type: ignore[attr-defined]
        modules = list(settings._preload_modules)
        ours = [m for m in sys.modules if m.startswith(("multiprocessing.", "mpfast.")) and not m.endswith("__main__")]
        return {
            "state": self._state,
            "main": {name: main[name] for name in ("init_main_from_name", "init_main_from_path") if name in main},
            "preload_main": preload and "__main__" in modules,
            "preload": [module for module in modules if module != "__main__"] if preload else [],
            "on_error": getattr(settings, "_preload_on_error", "ignore"),
            "modules": ["mpfast.context", "mpfast.launch", *ours],
            "ready": READY,
        }

    def changes(self) -> dict[str, Any]:
        """What is not as it was when the server started."""
        now = _state()
        return {name: value for name, value in now.items() if self._state.get(name) != value}

    def _ask(self, n: int) -> None:
        if n > 0 and self._ctl is not None:
            self._parked.expect(n)
            try:
                self._ctl.send(struct.pack("=i", n), socket.MSG_DONTWAIT)
            except OSError:  # it is dead, or has a lot to do: who waits finds out
                self._parked.expect(-n)

    def _wait(self) -> None:
        """Until one more child waits."""
        if self._parked.asked <= 0:
            self._ask(1)
        assert self._ctl is not None
        try:
            if self._parked.welcome(self._ctl.fileno(), PATIENCE):
                self._heard = True
            elif self._heard:
                self._ask(1)
        except EOFError:
            heard, who = self._heard, self._who
            again = self._state.get("again", False)
            self._drop()
            if not heard and again:
                raise
            self._start(who, preload=heard)  # a module that ends the server is left to the children
            self._state["again"] = not heard

    def hand_over(self, child: Child, process_obj: BaseProcess, data: bytes, fds: list[int]) -> None:
        """Gives the process to a child that waits for one. EOFError: there is no server that lives. OSError."""
        with self._lock:
            while not self._parked.hand_over(child, process_obj, data, fds):
                if not self._gather():
                    self._target = min(self._target + 1, MOST)
                    self._wait()
            self._gather()
            self._ask(self._target - len(self._parked) - max(self._parked.asked, 0))

    def _gather(self) -> bool:
        """Takes in the children that are reported already."""
        found = False
        try:
            while self._ctl is not None and self._parked.welcome(self._ctl.fileno(), 0):
                found = self._heard = True
        except (EOFError, OSError):  # who waits for a child is told
            return found
        return found

    def processes(self) -> set[int]:
        """The server, and the children of it that wait."""
        return {self._process.pid, *self._parked.pids} if self._process is not None else set()

    def rest(self) -> None:
        """Takes in all children that were asked for, and lets those go that are for times of hurry."""
        with self._lock:
            try:
                while self._ctl is not None and self._parked.asked > 0:
                    if not self._parked.welcome(self._ctl.fileno(), PATIENCE):
                        break
                    self._heard = True
            except (EOFError, OSError):
                return
            self._parked.close(READY)
            self._target = READY

    def prepare(self) -> dict[str, Any]:
        with self._lock:
            self.ensure()
            return self.changes()


server = _Server()
os.register_at_fork(after_in_child=server.forget)


class ForkServerPopen(Child):
    """Starts a child from the fork server."""

    method = "forkserver"
    DupFd = _DupFd
    _mpfast_launcher = True

    def __init__(self, process_obj: BaseProcess) -> None:
        util._flush_std_streams()  # type: ignore[attr-defined]
        self._fds: list[int] = []
        self._launch(process_obj)

    def duplicate_for_child(self, fd: int) -> int:
        self._fds.append(fd)
        return len(self._fds) - 1

    def _launch(self, process_obj: BaseProcess) -> None:
        try:
            data = self._message(process_obj)
            fds = [int(fd) for fd in self._fds]
            if len(data) > INLINE:
                with open(self._data(), "wb", closefd=False) as file:
                    file.write(data)
                fds.append(self._data())
                data = b""
            server.hand_over(self, process_obj, data, fds)
        finally:
            self._drop_data()
            if "_mpfast_reservations" in self.__dict__:
                from .family import close_reservations

                close_reservations(self)

    def _message(self, process_obj: BaseProcess) -> bytes:
        file = io.BytesIO()
        set_spawning_popen(self)  # type: ignore[arg-type]
        try:
            changes = server.prepare()
            tracker = tracker_fd()
            if tracker is not None:
                changes["tracker"] = self.duplicate_for_child(tracker)
            reduction.dump(changes, file)
            dump(process_obj, file)
        finally:
            set_spawning_popen(None)
        return file.getvalue()
