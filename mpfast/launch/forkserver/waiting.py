# SPDX-License-Identifier: MIT
"""Waiting: a spare from its fork to its end. It waits for a message and becomes the process that the message says."""

from __future__ import annotations

import atexit
import io
import os
import select
import signal
import socket
import sys
from abc import abstractmethod
from multiprocessing import process, util

from .. import handoff
from ..life import guard

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn

    from .nursery import Nursery

__all__ = ["Waiting"]

_ATEXIT = sys.version_info >= (3, 13)  # children run what they registered with atexit


class Waiting:
    """server: the process that forked us. sock: where the process to become comes from.

    idle: how many milliseconds to wait for it. -1 is without end.
    """

    def __init__(self, server: Nursery, sock: socket.socket, idle: int) -> None:
        self.sock = sock
        self.idle = idle
        self.server = server
        self.pid = server.pid
        self.mask = server.mask

    @abstractmethod
    def receive(self, file: io.BufferedIOBase, fds: list[int]) -> Any:
        """Returns the process to become, which is the content of the file. The descriptors came with it."""

    def live(self) -> NoReturn:
        """The whole life of the spare, which must not return to the server's code."""
        code = 1
        try:
            data, fds = self._wait()
            if _ATEXIT:
                atexit._clear()
                atexit.register(util._exit_function)  # type: ignore[attr-defined]
            code = self._run(data, fds)
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

    def _run(self, file: io.BufferedIOBase, fds: list[int]) -> int:
        signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT,))
        signal.signal(signal.SIGINT, self.server.interrupt)  # the main module may have a handler of its own
        current: Any = process.current_process()
        current._inheriting = True
        try:
            with file:
                process_obj = self.receive(file, fds)
        finally:
            del current._inheriting
        if process_obj.daemon:
            guard(self.pid, self.server.parent)
        signal.pthread_sigmask(signal.SIG_SETMASK, self.mask)
        return process_obj._bootstrap(parent_sentinel=self.server.parent)  # type: ignore[no-any-return]
