# SPDX-License-Identifier: MIT
"""A spare of the fork server. It becomes the process that it is handed, with the state that the client has then."""

from __future__ import annotations

import io
import sys
from multiprocessing import forkserver, spawn
from pickle import load

from . import inherit
from .waiting import Waiting

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .server import ForkServer

__all__ = ["Spare"]


class Spare(Waiting):
    server: ForkServer

    def _wait(self) -> tuple[io.BufferedIOBase, list[int]]:
        _reseed_numpy()
        return super()._wait()

    def receive(self, file: io.BufferedIOBase, fds: list[int]) -> Any:
        forkserver._forkserver._inherited_fds = fds  # type: ignore[attr-defined]
        self._become(load(file))
        return load(file)

    def _become(self, changes: dict[str, Any]) -> None:
        """Takes over what has changed in the client since the server started."""
        shared = changes.pop("tracker", None)
        self.mask = changes.get("mask", self.mask)
        inherit.become(changes)
        if shared is not None:
            from .. import tracker

            place, listens = shared
            fds = forkserver.get_inherited_fds() or []
            tracker.inherit(fds[place], listens)
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
