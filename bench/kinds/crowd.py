# SPDX-License-Identifier: MIT
"""Scenarios of several producers and several consumers. The measuring process only tells them to begin."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.context import BaseContext
from typing import Any, ClassVar

from mpfb_peer import Play, serve
from mpfb_play import Things

from ..base.deadline import DeadlineError, Limits, deadline
from ..base.errors import CellError
from ..base.impls import origins
from ..base.placement import Place
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
        self._peers: list[Any] = []
        self._links: list[Any] = []

    def hire(self, place: Place) -> None:
        scenario = self._scenario
        plays = [(scenario.produce, place.own)] * scenario.producers + [
            (scenario.consume, place.peer)
        ] * scenario.consumers
        # The orders travel through the stdlib's pipes on both sides: only the primitive differs.
        pipe = multiprocessing.get_context(self._context.get_start_method()).Pipe
        for play, cpus in plays:
            link, theirs = pipe()
            self._links.append(link)
            peer = self._context.Process(  # type: ignore[attr-defined]
                target=serve, args=(theirs, play, self._things, cpus, self._limits.batch), daemon=True
            )
            peer.start()
            self._peers.append(peer)
            theirs.close()

    def origins(self) -> list[str]:
        told = [name for link in self._links for name in self._hear(link, "made of", self._limits.child)]
        return origins(self._things.measured) + told

    def batch(self, count: int) -> float:
        """From the first one's begin to the last one's end, for as many items as can be shared out evenly."""
        scenario = self._scenario
        rounds = -(-count // (scenario.producers * scenario.consumers))
        shares = [rounds * scenario.consumers] * scenario.producers
        shares += [rounds * scenario.producers] * scenario.consumers
        with deadline(self._limits.batch, scenario.title):
            try:
                for link, share in zip(self._links, shares, strict=True):
                    link.send(share)
                for link in self._links:
                    self._hear(link, "ready", self._limits.batch)
                times = [self._hear(link, "times", self._limits.batch) for link in self._links]
            except (DeadlineError, BrokenPipeError) as error:
                raise CellError(str(error)) from None
        took = max(end for _, end in times) - min(begin for begin, _ in times)
        return float(took) * count / (rounds * scenario.producers * scenario.consumers)

    def _hear(self, link: Any, expected: str, seconds: float) -> Any:
        try:
            if not link.poll(seconds):
                raise CellError(f"a peer said nothing for {seconds:g} s")
            word, value = link.recv()
        except (EOFError, ConnectionResetError):
            raise CellError("a peer is gone") from None
        if word == "failed":
            raise CellError(f"a peer failed:\n{value}")
        if word != expected:
            raise CellError(f"a peer said {word!r}, not {expected!r}")
        return value

    def stop(self) -> None:
        """Let all of them end, which they must do well."""
        for link in self._links:
            link.send(0)
        for peer in self._peers:
            peer.join(self._limits.child)
            if peer.exitcode != 0:
                raise CellError(f"a peer ended badly, exit code {peer.exitcode}")

    def kill(self) -> None:
        for peer in self._peers:
            if peer.is_alive():
                peer.kill()
            peer.join(self._limits.child)
        for link in self._links:
            link.close()
