# SPDX-License-Identifier: MIT
"""Scenarios of several producers and several consumers. The measuring process only tells them to begin."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.context import BaseContext
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
class Crowd(Scenario):
    """Producers are pinned to the measuring process's CPU and consumers to the other, or all to one."""

    make: Callable[[BaseContext], tuple[Any, ...]]
    produce: Play
    consume: Play
    producers: int
    consumers: int

    kind: ClassVar[str] = "crowd"
    batch_seconds: ClassVar[float | None] = 0.03

    @contextmanager
    def open(self, context: BaseContext, place: Place, limits: Limits) -> Iterator[CrowdSide]:
        side = CrowdSide(self, context, limits)
        try:
            side.hire(place)
            yield side
            side.stop()
        finally:
            side.kill()


class CrowdSide:
    """The measuring process's hold of the crowd."""

    def __init__(self, scenario: Crowd, context: BaseContext, limits: Limits) -> None:
        self._scenario, self._context, self._limits = scenario, context, limits
        self._things = Things(scenario.make(context), None)
        self._peers: list[Peer] = []

    def hire(self, place: Place) -> None:
        scenario = self._scenario
        plays = [(scenario.produce, place.own)] * scenario.producers
        plays += [(scenario.consume, place.peer)] * scenario.consumers
        for play, cpus in plays:
            self._peers.append(Peer(self._context, play, self._things, cpus, self._limits))

    def origins(self) -> list[str]:
        told = [name for peer in self._peers for name in peer.origins()]
        return origins(self._things.measured) + told

    def batch(self, count: int) -> float:
        """From the first one's begin to the last one's end, for as many items as can be shared out evenly."""
        scenario = self._scenario
        rounds = -(-count // (scenario.producers * scenario.consumers))
        shares = [rounds * scenario.consumers] * scenario.producers
        shares += [rounds * scenario.producers] * scenario.consumers
        with deadline(self._limits.batch, scenario.title):
            try:
                for peer, share in zip(self._peers, shares, strict=True):
                    peer.begin(share)
                for peer in self._peers:
                    peer.ready()
                times = [peer.times() for peer in self._peers]
            except (DeadlineError, BrokenPipeError) as error:
                raise CellError(str(error)) from None
        took = max(end for _, end in times) - min(begin for begin, _ in times)
        return float(took) * count / (rounds * scenario.producers * scenario.consumers)

    def stop(self) -> None:
        """Let all of them end, which they must do well."""
        for peer in self._peers:
            peer.dismiss()
        for peer in self._peers:
            peer.stop()

    def kill(self) -> None:
        for peer in self._peers:
            peer.kill()
