# SPDX-License-Identifier: MIT
"""multiprocessing's launchers, changed to let go of what they handed to the child as soon as it has it."""

from __future__ import annotations

from multiprocessing import forkserver, popen_forkserver, popen_spawn_posix
from multiprocessing.process import BaseProcess

from .dump import let_go

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["StdlibForkServerPopen", "StdlibSpawnPopen", "fork_server", "spawn"]


class _HandsOver:
    """Mixin that closes the parent's copy of a child's family descriptor when the launch is over.

    Then the lock byte proves whether the child lives.
    """

    _mpfast_launcher = True

    def _launch(self, process_obj: BaseProcess) -> Any:
        try:
            return super()._launch(process_obj)  # type: ignore[misc]
        finally:
            let_go(self)


class StdlibSpawnPopen(_HandsOver, popen_spawn_posix.Popen):
    """Starts a child in a fresh interpreter."""


class StdlibForkServerPopen(_HandsOver, popen_forkserver.Popen):
    """Starts a child from the fork server."""

    def _launch(self, process_obj: BaseProcess) -> Any:
        _preload()
        return super()._launch(process_obj)


def _preload() -> None:
    """Lets a fork server that starts now import what each of its children would have to import."""
    server: Any = forkserver._forkserver
    if server._forkserver_pid is None and "mpfast.context" not in server._preload_modules:
        forkserver.set_forkserver_preload([*server._preload_modules, "mpfast.context"])


def spawn(process_obj: BaseProcess) -> Any:
    """Starts a process with multiprocessing's launcher of spawn, or what a tool has put in its place."""
    return _launcher(StdlibSpawnPopen, popen_spawn_posix.Popen)(process_obj)


def fork_server(process_obj: BaseProcess) -> Any:
    """The same for forkserver."""
    return _launcher(StdlibForkServerPopen, popen_forkserver.Popen)(process_obj)


def _launcher(ours: Any, theirs: Any) -> Any:
    return ours if theirs in ours.__mro__ else theirs
