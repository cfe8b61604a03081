# SPDX-License-Identifier: MIT
"""The life of a template, and of its spares. They were forked from a process that goes on without them."""

from __future__ import annotations

import os
import signal
from multiprocessing import process, util

from .child import above, process_class
from .forkserver.nursery import Nursery, poll_for
from .forkserver.waiting import Waiting
from .life import name_process, rehearse

TYPE_CHECKING = False
if TYPE_CHECKING:
    import io
    import socket
    from typing import Any, NoReturn

    from .template import Template

__all__ = ["serve"]

SLOW = 100  # milliseconds


class _Server(Nursery):
    def __init__(self, ctl: int, parent: int, table: int | None, template: Template, interrupt: Any) -> None:
        super().__init__(ctl, parent, table)
        self.revive = template.revive
        self.mask = template.mask
        self.interrupt = signal.SIG_DFL if interrupt is None else interrupt
        assert process_class is not None
        self.rehearsal = process_class(target=int)

    def serve(self) -> None:
        """The first spare is not asked for."""
        self.fork(-1)
        super().serve()

    def be_spare(self, sock: socket.socket, idle: int) -> NoReturn:
        name_process("mpfast-spare")
        _Spare(self, sock, idle).live()

    def rehearse(self) -> None:
        rehearse(self.rehearsal, self.parent)

    def linger(self) -> None:
        """The pool ends all that was forked here, so it waits for that, or for the end of the pool's process."""
        poll, milliseconds = poll_for(self.parent), 1
        while self.reaps.reap() and not poll.poll(milliseconds):
            milliseconds = min(2 * milliseconds, SLOW)


class _Spare(Waiting):
    server: _Server

    def receive(self, file: io.BufferedIOBase, fds: list[int]) -> Any:
        return self.server.revive(file.read())


def serve(ctl: int, parent: int, table: int | None, template: Template, interrupt: Any) -> int:
    """ctl: the template's socket. parent: the pid of the process that it was forked from. Returns the exit code.

    interrupt: that process's handler of SIGINT, which its spares are to have.
    """
    name_process("mpfast-template")
    util._finalizer_registry.clear()  # type: ignore[attr-defined]
    util._run_after_forkers()  # type: ignore[attr-defined]
    process._children.clear()  # type: ignore[attr-defined]
    try:
        server = _Server(ctl, above(os.pidfd_open(parent)), table, template, interrupt)
    except ProcessLookupError:
        return 0
    signal.pthread_sigmask(signal.SIG_SETMASK, template.mask)
    server.reaps.begin()
    server.serve()
    return 0
