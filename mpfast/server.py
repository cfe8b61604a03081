# SPDX-License-Identifier: MIT
"""The fork server: it loads what its children would have to load, and forks some that wait for a process to be.

It has one thread and does nothing but fork. It ends with the process whose server it is.
"""

from __future__ import annotations

import atexit
import errno
import gc
import io
import os
import select
import signal
import socket
import struct
import sys
from multiprocessing import forkserver, process, spawn, util
from pickle import load

from . import handoff, launch

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn

__all__ = ["main"]

_REPORT = struct.Struct("=ii")  # a child's pid, or 0 and an errno


class _Server:
    def __init__(self, ctl: int, init: dict[str, Any], parent: int) -> None:
        self.ctl = socket.socket(fileno=ctl)
        self.parent = os.pidfd_open(parent)
        self.pid = os.getpid()
        self.main: dict[str, Any] = init["main"]
        self.loaded = not self.main  # children need not load the main module
        self.interrupt = signal.getsignal(signal.SIGINT)
        self.mask = init["state"]["mask"]

    def load(self, init: dict[str, Any]) -> None:
        """Loads what the children will want."""
        current: Any = process.current_process()
        current._inheriting = True
        try:
            for name in init["modules"]:
                _load(name)
            if init["preload_main"] and not self.loaded:
                try:
                    spawn.prepare(self.main)
                    self.loaded = True
                except BaseException:  # it is up to the children then, who can say what is wrong
                    if init["on_error"] == "fail":
                        raise
                    if init["on_error"] == "warn":
                        _warn("__main__")
            for name in init["preload"]:
                _load(name, init["on_error"])
        finally:
            del current._inheriting
        util._flush_std_streams()  # type: ignore[attr-defined]

    def serve(self, ready: int) -> None:
        """Forks as many children as it is asked for, until the process whose server it is lets go of it."""
        self.fork(ready)
        while True:
            try:
                asked = self.ctl.recv(4)
            except ConnectionResetError:
                asked = b""
            if len(asked) < 4:
                break
            self.fork(struct.unpack("=i", asked)[0])
        self.ctl.close()
        self.linger()

    def fork(self, n: int) -> None:
        for _ in range(n):
            try:
                pid = os.fork()
            except OSError as e:
                self.ctl.send(_REPORT.pack(0, e.errno or errno.EAGAIN))
                continue
            if pid == 0:
                _Parked(self).live()

    def linger(self) -> None:
        """Daemons end when this process does, so it stays until the parent's end, or until there are no children."""
        poll = select.poll()
        poll.register(self.parent, select.POLLIN)
        while not poll.poll(500):
            try:
                os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return


def _load(name: str, on_error: str = "ignore") -> None:
    try:
        __import__(name)
    except ImportError:
        if on_error == "fail":
            raise
        if on_error == "warn":
            _warn(name)


def _warn(name: str) -> None:
    import warnings

    warnings.warn(f"Failed to preload module {name!r}: {sys.exc_info()[1]}", ImportWarning, stacklevel=2)


class _Parked:
    """A child that waits, and then is the process that it was handed."""

    def __init__(self, server: _Server) -> None:
        self._server = server

    def live(self) -> NoReturn:
        code = 1
        try:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            data, forkserver._forkserver._inherited_fds = self._wait()  # type: ignore[attr-defined]
            if atexit_in_children:
                atexit._clear()
                atexit.register(util._exit_function)
            code = self._run(data)
        except Exception:
            sys.excepthook(*sys.exc_info())
            sys.stderr.flush()
        finally:
            try:
                if atexit_in_children:
                    atexit._run_exitfuncs()
            finally:
                os._exit(code if isinstance(code, int) else 1)

    def _wait(self) -> tuple[io.BufferedIOBase, list[int]]:
        """Says that we are ready, and waits for the message."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        me = os.pidfd_open(os.getpid())
        handoff.send(self._server.ctl.fileno(), _REPORT.pack(os.getpid(), 0), [me, theirs.fileno()])
        os.close(me)
        theirs.close()
        self._server.ctl.close()
        with ours:
            try:
                data, fds = handoff.receive(ours.fileno())
            except EOFError:  # nobody will want us any more
                os._exit(0)
        if data:
            return io.BytesIO(data), fds
        return open(fds.pop(), "rb"), fds

    def _run(self, file: io.BufferedIOBase) -> int:
        server = self._server
        current: Any = process.current_process()
        current._inheriting = True
        try:
            with file:
                if file.seekable():
                    file.seek(0)
                self._become(load(file))
                process_obj: Any = load(file)
        finally:
            del current._inheriting
        if process_obj.daemon:
            launch.guard(server.pid, server.parent)
        signal.signal(signal.SIGINT, server.interrupt)
        signal.pthread_sigmask(signal.SIG_SETMASK, server.mask)
        return process_obj._bootstrap(parent_sentinel=server.parent)  # type: ignore[no-any-return]

    def _become(self, changes: dict[str, Any]) -> None:
        """Takes over what has changed in the parent since the server started."""
        server = self._server
        _apply(changes)
        server.mask = changes.get("mask", server.mask)
        if "affinity" in changes:
            os.sched_setaffinity(0, changes["affinity"])
        if "tracker" in changes:
            from multiprocessing import resource_tracker

            tracker: Any = resource_tracker._resource_tracker  # type: ignore[attr-defined]
            tracker._fd = forkserver.get_inherited_fds()[changes["tracker"]]  # type: ignore[attr-defined]
        if not server.loaded:
            spawn.prepare(server.main)


def _apply(state: dict[str, Any]) -> None:
    environ = state.pop("environ", None)
    if environ is not None:
        for name in os.environb.keys() - environ.keys():
            del os.environb[name]
        os.environb.update(environ)
    spawn.prepare(state)


atexit_in_children = sys.version_info >= (3, 13)


def main(ctl: int, data: int, parent: int) -> None:
    """The server's life. ctl: its socket; data: the file that says what it is; parent: the pid whose server it is."""
    os.set_inheritable(ctl, False)
    with open(data, "rb") as file:
        init = load(file)
    server = _Server(ctl, init, parent)
    if os.getppid() != parent:
        return
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_SETMASK, server.mask)
    _apply(dict(init["state"]))
    server.load(init)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel reaps the children, and tells the parent of their end
    gc.freeze()
    server.serve(init["ready"])
