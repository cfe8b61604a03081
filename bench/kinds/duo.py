# SPDX-License-Identifier: MIT
"""Scenarios of two processes, the one that measures and a peer that lives as long as the cell."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.context import BaseContext
from time import perf_counter_ns
from typing import Any, ClassVar

from mpfb_peer import Play
from mpfb_play import Things

from ..base.deadline import DeadlineError, Limits, deadline
from ..base.errors import CellError
from ..base.impls import origins
from ..base.placement import Place
from .peer import Peer
from .scenario import Scenario


@dataclass(frozen=True)
class Duo(Scenario):
    make: Callable[[BaseContext], tuple[Any, ...]]
    play: Play
    counted: bool = False  # every operation of both processes adds one to the shared word

    kind: ClassVar[str] = "duo"
    batch_seconds: ClassVar[float | None] = 0.02

    @contextmanager
    def open(self, context: BaseContext, place: Place, limits: Limits) -> Iterator[DuoSide]:
        word = multiprocessing.get_context(context.get_start_method()).RawValue("Q", 0)
        side = DuoSide(self, context, Things(self.make(context), word), place, limits)
        try:
            yield side
            side.stop()
        finally:
            side.kill()


class DuoSide:
    """The measuring process plays one part, its peer the other."""

    def __init__(self, scenario: Duo, context: BaseContext, things: Things, place: Place, limits: Limits) -> None:
        self._scenario, self._things, self._limits = scenario, things, limits
        self._peer = Peer(context, scenario.play, things, place.peer, limits)

    def origins(self) -> list[str]:
        return origins(self._things.measured) + self._peer.origins()

    def batch(self, count: int) -> float:
        """From the first process's begin to the last one's end, both by the one monotonic clock."""
        before = self._things.word.value
        try:
            with deadline(self._limits.batch, self._scenario.title):
                self._peer.begin(count)
                self._peer.ready()
                begin = perf_counter_ns()
                self._scenario.play(self._things, 0, count)
                end = perf_counter_ns()
                peer_begin, peer_end = self._peer.times()
        except (DeadlineError, BrokenPipeError) as error:
            raise CellError(self._peer.last_words() or str(error)) from None
        if self._scenario.counted and self._things.word.value != before + 2 * count:
            raise CellError("both processes were inside the lock at once: the shared count is wrong")
        return float(max(end, peer_end) - min(begin, peer_begin))

    def stop(self) -> None:
        self._peer.dismiss()
        self._peer.stop()

    def kill(self) -> None:
        self._peer.kill()
