# SPDX-License-Identifier: MIT
"""multiprocessing's launchers, which let go of what they handed to the child as soon as it has it."""

from __future__ import annotations

from multiprocessing import popen_forkserver, popen_spawn_posix
from multiprocessing.process import BaseProcess
from typing import Any

from .family import close_reservations

__all__ = ["ForkServerPopen", "SpawnPopen"]


class _HandsOver:
    """Mixin: the parent's copy of a child's family descriptor goes when the launch is over, so it says if it lives."""

    _mpfast_launcher = True

    def _launch(self, process_obj: BaseProcess) -> Any:
        try:
            return super()._launch(process_obj)  # type: ignore[misc]
        finally:
            close_reservations(self)


class SpawnPopen(_HandsOver, popen_spawn_posix.Popen):
    """Starts a child in a fresh interpreter."""


class ForkServerPopen(_HandsOver, popen_forkserver.Popen):
    """Starts a child from the fork server."""
