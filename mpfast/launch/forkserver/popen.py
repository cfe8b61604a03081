# SPDX-License-Identifier: MIT
"""The start method forkserver. A server has the main module loaded, and its spares are ready to run.

A start is one message to a spare. Its pid and its sentinel are known already, so the start waits for no process.
"""

from __future__ import annotations

import io
from multiprocessing import util
from multiprocessing.context import get_spawning_popen, set_spawning_popen
from multiprocessing.process import BaseProcess
from pickle import dumps

from .. import tracker
from ..child import hooked
from ..dump import dump, let_go
from ..spawn import is_this_interpreter
from .client import client
from .exits import is_refused
from .served import Served

TYPE_CHECKING = False
if TYPE_CHECKING:
    from multiprocessing.popen_forkserver import _DupFd

__all__ = ["ForkServerPopen", "why_not"]

INLINE = 100_000  # bytes that go to a spare at once. For what is longer it gets a descriptor


def why_not() -> str | None:
    """Why children come from multiprocessing's fork server here. None if they come from mpfast's."""
    if (hook := hooked("forkserver")) is not None:
        return f"{hook} has been replaced"
    if not is_this_interpreter():
        return "set_executable()"
    if (refusal := client.refused()) is not None:
        return refusal
    return "the limit on the size of files" if not client.runs() and is_refused() else None


class ForkServerPopen(Served):
    """Starts a child from the fork server."""

    method = "forkserver"
    _mpfast_launcher = True

    def __init__(self, process_obj: BaseProcess) -> None:
        util._flush_std_streams()  # type: ignore[attr-defined]
        self._fds: list[int] = []
        self._launch(process_obj)

    @staticmethod
    def DupFd(index: int) -> _DupFd:
        """multiprocessing's own. It is loaded when a descriptor is sent, so that the first start() need not wait."""
        from multiprocessing.popen_forkserver import _DupFd

        return _DupFd(index)

    def duplicate_for_child(self, fd: int) -> int:
        self._fds.append(fd)
        return len(self._fds) - 1

    def _launch(self, process_obj: BaseProcess) -> None:
        try:
            data = self._message(process_obj)
            fds = [int(fd) for fd in self._fds]
            if len(data) <= INLINE:
                client.hand_over(self, process_obj, data, fds)
                return
            self._hold(data)
            client.hand_over(self, process_obj, b"", [*fds, self._data()])
            self._feed(data)
        finally:
            self._drop_data()
            let_go(self)

    def _message(self, process_obj: BaseProcess) -> bytes:
        file = io.BytesIO()
        before = get_spawning_popen()  # a signal handler may start a process while another is pickled
        try:
            set_spawning_popen(self)  # type: ignore[arg-type]
            changes = client.changes(process_obj._name)  # type: ignore[attr-defined]
            shared = tracker.for_child()
            if shared is not None:
                changes["tracker"] = self.duplicate_for_child(shared[0]), shared[1]
            file.write(dumps(changes))
            dump(process_obj, file)
        finally:
            set_spawning_popen(before)
        return file.getvalue()
