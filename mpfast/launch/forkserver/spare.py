# SPDX-License-Identifier: MIT
"""A spare. The fork server forks it, it waits, and it becomes the process that it is handed."""

from __future__ import annotations

import atexit
import io
import os
import select
import signal
import socket
import sys
from multiprocessing import forkserver, process, spawn, util
from pickle import load

from .. import handoff
from ..life import guard
from . import inherit

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn

    from .server import ForkServer

__all__ = ["Spare"]

_ATEXIT = sys.version_info >= (3, 13)  # children run what they registered with atexit


class Spare:
    """server: the process that forked us. sock: where the process to become comes from.

    idle: how many milliseconds to wait for it. -1 is without end.
    """

    def __init__(self, server: ForkServer, sock: socket.socket, idle: int) -> None:
        self.sock = sock
        self.idle = idle
        self.server = server
        self.pid = os.getppid()  # the server's
        self.mask = server.mask

    def live(self) -> NoReturn:
        """The whole life of the spare, which must not return to the server's code."""
        code = 1
        try:
            data, forkserver._forkserver._inherited_fds = self._wait()  # type: ignore[attr-defined]
            if _ATEXIT:
                atexit._clear()
                atexit.register(util._exit_function)  # type: ignore[attr-defined]
            code = self._run(data)
        except Exception:
            sys.excepthook(*sys.exc_info())
            sys.stderr.flush()
        finally:
            try:
                if _ATEXIT:
                    atexit._run_exitfuncs()
            finally:
                code = code if isinstance(code, int) else 1
                self.server.reaps.said(code)
                os._exit(code)

    def _rehearse(self) -> None:
        """Touches pages that a process needs. Most of a short process's time goes to touching them first."""
        self.server.rehearse()
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_SETMASK, self.mask)

    def _wait(self) -> tuple[io.BufferedIOBase, list[int]]:
        """Returns the message and its descriptors. Ends the process if there will be none."""
        flags = 0
        _reseed_numpy()
        poll = select.poll()
        poll.register(self.sock, select.POLLIN)
        if not poll.poll(0):
            self._rehearse()
        if self.idle >= 0 and not poll.poll(self.idle):
            self.sock.shutdown(socket.SHUT_RD)  # from here on a sender gets EPIPE. What was sent is still there
            flags = socket.MSG_DONTWAIT
        with self.sock as sock:
            try:
                data, fds = handoff.receive(sock.fileno(), 1 << 17, flags)
            except EOFError:
                os._exit(0)
        if data:
            return io.BytesIO(data), fds
        return open(fds.pop(), "rb"), fds

    def _run(self, file: io.BufferedIOBase) -> int:
        signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT,))
        signal.signal(signal.SIGINT, self.server.interrupt)  # the main module may have a handler of its own
        current: Any = process.current_process()
        current._inheriting = True
        try:
            with file:
                self._become(load(file))
                process_obj: Any = load(file)
        finally:
            del current._inheriting
        if process_obj.daemon:
            guard(self.pid, self.server.parent)
        signal.pthread_sigmask(signal.SIG_SETMASK, self.mask)
        return process_obj._bootstrap(parent_sentinel=self.server.parent)  # type: ignore[no-any-return]

    def _become(self, changes: dict[str, Any]) -> None:
        """Takes over what has changed in the client since the server started."""
        tracker = changes.pop("tracker", None)
        self.mask = changes.get("mask", self.mask)
        inherit.become(changes)
        if tracker is not None:
            from multiprocessing import resource_tracker

            ours: Any = resource_tracker._resource_tracker
            fds = forkserver.get_inherited_fds() or []
            ours._fd = fds[tracker]
        spawn.prepare(self.server.main)


def _reseed_numpy() -> None:
    """What the main module computed is the same in all children, but not random numbers without a seed.

    Python reseeds its own generator at each fork, numpy does not. A generator that was given a seed has lost its
    _seed_seq, and keeps its state.
    """
    mtrand = sys.modules.get("numpy.random.mtrand")
    if mtrand is None:
        return
    try:
        if mtrand._rand._bit_generator._seed_seq is not None:
            mtrand._rand.seed()
    except AttributeError:  # another numpy than we know
        return
