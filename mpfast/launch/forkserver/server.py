# SPDX-License-Identifier: MIT
"""The fork server. It loads what its children would have to load, and forks spares that wait for a process to become.

How it forks, and when it ends, is in nursery.py. The client's side is client.py, and the spares' side is spare.py.
"""

from __future__ import annotations

import contextlib
import gc
import io
import os
import signal
import socket
import sys
import time
import warnings
from multiprocessing import process, reduction, spawn, util
from multiprocessing.context import set_spawning_popen
from pickle import dumps, load

from ..child import Child, above
from ..life import rehearse
from . import inherit
from .nursery import Nursery
from .spare import Spare

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn

__all__ = ["main"]

REHEARSALS = 10  # the interpreter specializes code that has run eight times, else each child does it in its own pages
PREPARED = ("jemalloc_bg_thd",)  # names of threads: pyarrow, and pandas with it, have jemalloc's
GOING = 0.1  # seconds for which a thread that a library has ended may still be seen


class ForkServer(Nursery):
    def __init__(self, ctl: int, parent: int, orders: dict[str, Any]) -> None:
        super().__init__(ctl, above(os.pidfd_open(parent)), orders["table"])
        self.mask = orders["state"]["mask"]
        self.main: dict[str, Any] = orders["main"]  # empty if children need not load it
        self.later: list[str] = orders["later"]
        self.rehearsal = _rehearsal(orders["process_class"])

    def load(self, orders: dict[str, Any], data: int) -> None:
        """Loads what the children will want. data: the number of the file with the orders."""
        current: Any = process.current_process()
        current._inheriting = True
        try:
            for name in orders["modules"]:
                _load(name, "ignore")
            gc.freeze()
            gc.enable()  # what follows may switch it off
            if orders["preload_main"] and self.main:
                self._load_main(orders["name"], orders["on_error"])
                if _has_threads():
                    _begin_again({**orders, "preload_main": False}, self.ctl.fileno(), data)
            if orders["preload"]:
                _preload(orders["preload"], orders["on_error"])
        finally:
            del current._inheriting
        util._flush_std_streams()  # type: ignore[attr-defined]

    def _load_main(self, name: str, on_error: str) -> None:
        """Loads it under the first child's name, because a main module may check whether a child imports it."""
        current = process.current_process()
        before = current.name
        try:
            spawn.prepare({**self.main, "name": name})
            self.main = {}
        except BaseException as e:  # then the children load it, and can say what is wrong
            if on_error == "fail":
                raise
            if on_error == "warn":
                _warn(f"__main__ from {self.main.get('init_main_from_path')!r}", e)
        finally:
            current.name = before

    def has_time(self) -> None:
        self._load_later()

    def be_spare(self, sock: socket.socket, idle: int) -> NoReturn:
        Spare(self, sock, idle).live()

    def _load_later(self) -> None:
        """Loads what any child may want, so that each need not import it. No start waits for the server now."""
        for name in self.later:
            _load(name, "ignore")
        for _ in range(REHEARSALS):
            self.rehearse()
        gc.freeze()

    def rehearse(self) -> None:
        """Takes the steps of Spare._run(). What they touch is there next time."""
        with io.BytesIO(self.rehearsal) as file:
            file.seek(0)
            inherit.become(load(file))
            rehearse(load(file), self.parent)


def _rehearsal(process_class: Any) -> bytes:
    """A message as popen.py sends it, with a process that does nothing."""
    process_obj: Any = process_class(target=int)
    file = io.BytesIO()
    set_spawning_popen(process_obj)  # nothing asks it for anything
    try:
        file.write(dumps({}))
        reduction.dump(process_obj, file)
    finally:
        set_spawning_popen(None)
    return file.getvalue()


def _load(name: str, on_error: str) -> None:
    try:
        __import__(name)
    except ImportError as e:
        if on_error == "fail":
            raise
        if on_error == "warn":
            _warn(f"module {name!r}", e)


def _preload(names: list[str], on_error: str) -> None:
    """Loads modules. Children have the client's directory, search path and arguments, even if a module changes them."""
    directory, path, argv = os.open(".", os.O_PATH | os.O_CLOEXEC), sys.path[:], sys.argv[:]
    try:
        for name in names:
            _load(name, on_error)
    finally:
        os.fchdir(directory)
        os.close(directory)
        sys.path, sys.argv = path, argv


def _warn(what: str, error: BaseException) -> None:
    warnings.warn(f"Failed to preload {what}: {error}", ImportWarning, stacklevel=2)


def _threads() -> int:
    """The threads of this process, but for those that a library prepares for a fork."""
    n = 0
    with contextlib.suppress(OSError):
        for thread in os.listdir("/proc/self/task"):
            with contextlib.suppress(OSError), open(f"/proc/self/task/{thread}/comm", encoding="utf-8") as name:
                n += name.read().strip() not in PREPARED
    return n


def _has_threads() -> bool:
    """Are there threads that the children would lack? Threads that a library ends before a fork do not count."""
    if len(sys._current_frames()) > 1:
        return True
    if _threads() <= 1:
        return False
    with warnings.catch_warnings(), contextlib.suppress(ChildProcessError):
        warnings.simplefilter("ignore")
        try:
            pid = os.fork()
        except OSError:  # nothing can be said, so main is not preloaded
            return True
        if pid == 0:
            os._exit(0)
        os.waitpid(pid, 0)
    deadline = time.monotonic() + GOING
    while (n := _threads()) > 1 and time.monotonic() < deadline:
        time.sleep(0.001)
    return n > 1


def _begin_again(orders: dict[str, Any], ctl: int, data: int) -> NoReturn:
    """Runs this program anew in the same process, which ends its threads. The descriptors keep their numbers."""
    util._flush_std_streams()  # type: ignore[attr-defined]
    child, message = Child(), dumps(orders)
    if child._hold(message):
        _feed(child, message)
    os.dup2(child._data(), data)
    for fd in (ctl, data, orders["table"]):
        if fd is not None:
            os.set_inheritable(fd, True)
    os.execve(sys.executable, sys.orig_argv, orders["state"]["environ"])


def _feed(child: Child, message: bytes) -> None:
    """Another process does it, as this one will read it. It is a grandchild, so that there is nothing to reap."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pid = os.fork()
    if pid == 0:
        if os.fork() == 0:
            child._feed(message)
        os._exit(0)
    os.waitpid(pid, 0)


def main(ctl: int, data: int, parent: int) -> None:
    """The server's life. ctl is its socket, data the file with its orders, parent the pid of its client."""
    os.set_inheritable(ctl, False)
    with open(data, "rb") as file:
        orders = load(file)
    if orders["table"] is not None:
        os.set_inheritable(orders["table"], False)
    try:
        server = ForkServer(ctl, parent, orders)
    except ProcessLookupError:
        return
    if os.getppid() != parent:  # the pid is another process's by now
        return
    inherit.become(orders["state"])
    server.load(orders, data)  # SIGINT is blocked, as the client left it. A handler set now is the children's
    server.interrupt = signal.signal(signal.SIGINT, signal.SIG_IGN) or signal.SIG_DFL
    signal.pthread_sigmask(signal.SIG_SETMASK, server.mask)
    gc.freeze()
    if orders["table"] is not None:
        os.close(orders["table"])  # it is mapped
    server.reaps.begin()
    server.serve()
    if util._logger is not None:  # type: ignore[attr-defined]
        util._logger.disabled = True  # type: ignore[attr-defined]  # the log is the program's, not this end's
