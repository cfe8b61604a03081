# SPDX-License-Identifier: MIT
"""The fork server. It loads what its children would have to load, and forks spares that wait for a process to become.

It has one thread and does nothing but fork. It ends with its client. The client's side is client.py, and the spares'
side is spare.py.
"""

from __future__ import annotations

import contextlib
import errno
import gc
import io
import os
import select
import signal
import socket
import struct
import sys
import time
import warnings
from multiprocessing import process, reduction, spawn, util
from multiprocessing.context import set_spawning_popen
from pickle import dumps, load

from .. import handoff
from ..child import Child, above
from ..life import rehearse
from . import inherit
from .exits import KernelReaps, ServerReaps
from .pairs import pair
from .spare import Spare

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn

__all__ = ["main"]

_REQUEST = struct.Struct("=iii")  # spares.pyx's request and report
REHEARSALS = 10  # the interpreter specializes code that has run eight times, else each child does it in its own pages
PREPARED = ("jemalloc_bg_thd",)  # names of threads: pyarrow, and pandas with it, have jemalloc's
GOING = 0.1  # seconds for which a thread that a library has ended may still be seen
STILLBORN = 16  # spares in a row that end at once, until that is an error
_REPORT = struct.Struct("=iiQ")


class ForkServer:
    def __init__(self, ctl: int, parent: int, orders: dict[str, Any]) -> None:
        self.ctl = socket.socket(fileno=ctl)
        self.parent = above(os.pidfd_open(parent))
        self.interrupt: Any = signal.SIG_DFL  # the children's handler of SIGINT
        self.mask = orders["state"]["mask"]
        self.main: dict[str, Any] = orders["main"]  # empty if children need not load it
        self.later: list[str] = orders["later"]
        self.rehearsal = _rehearsal(orders["process_class"])
        self.reaps = _reaps(orders["table"])

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

    def serve(self) -> None:
        """Forks as many spares as it is asked for, until its client lets go of it."""
        self.reaps.begin()
        first = True
        while asked := self._asked():
            n, idle, pause = _REQUEST.unpack(asked[4:])  # before it, the number of descriptors, which is 0
            if pause > 0:
                self._pause(pause)
            for _ in range(n):
                self.fork(idle)
            if first:
                first = False
                self._load_later()
        self.ctl.close()
        self.linger()

    def _load_later(self) -> None:
        """Loads what any child may want, so that each need not import it. No start waits for the server now."""
        for name in self.later:
            _load(name, "ignore")
        for _ in range(REHEARSALS):
            self.rehearse()
        gc.freeze()

    def rehearse(self) -> None:
        """Takes the steps of Spare._run() with a process that does nothing. What they touch is there next time."""
        with io.BytesIO(self.rehearsal) as file:
            file.seek(0)
            inherit.become(load(file))
            rehearse(load(file), self.parent)

    def _asked(self) -> bytes:
        """Returns the next request, empty if there will be none. Meanwhile it reaps the children that have ended.

        It also watches for the client's end, because a process forked meanwhile may have the client's descriptors.
        """
        ctl, wake = self.ctl.fileno(), self.reaps.wake
        poll = _poll(ctl, self.parent, *((wake,) if wake >= 0 else ()))
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
        _poll(self.ctl.fileno()).poll(milliseconds)

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
                Spare(self, ours, idle).live()
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
        poll = _poll(*fds)
        while self.parent not in (fd for fd, _ in poll.poll(500)):
            if not self.reaps.reap():
                return


def _poll(*fds: int) -> select.poll:
    poll = select.poll()
    for fd in fds:
        poll.register(fd, select.POLLIN)
    return poll


def _reaps(table: int | None) -> KernelReaps | ServerReaps:
    if table is None:
        return KernelReaps()
    from .exit_table import Table

    return ServerReaps(Table(table))


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
    server.serve()
    if util._logger is not None:  # type: ignore[attr-defined]
        util._logger.disabled = True  # type: ignore[attr-defined]  # the log is the program's, not this end's
