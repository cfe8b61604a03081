# SPDX-License-Identifier: MIT
"""Scenarios of two processes: the one that measures, and a peer that lives as long as the cell."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.context import BaseContext
from time import perf_counter_ns
from typing import Any, ClassVar

from mpfb_peer import Play, serve
from mpfb_play import Things

from ..base.deadline import DeadlineError, Limits, deadline
from ..base.errors import CellError
from ..base.impls import origins
from ..base.placement import Place
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
    """The measuring process's hold of one peer."""

    def __init__(self, scenario: Duo, context: BaseContext, things: Things, place: Place, limits: Limits) -> None:
        self._scenario, self._things, self._limits = scenario, things, limits
        # The orders travel through the stdlib's pipe on both sides: only the primitive differs.
        self._link, theirs = multiprocessing.get_context(context.get_start_method()).Pipe()
        self._peer = context.Process(  # type: ignore[attr-defined]
            target=serve, args=(theirs, scenario.play, things, place.peer, limits.batch), daemon=True
        )
        self._peer.start()
        theirs.close()

    def origins(self) -> list[str]:
        told: list[str] = self._hear("made of", self._limits.child)
        return origins(self._things.measured) + told

    def batch(self, count: int) -> float:
        """From the first process's begin to the last one's end, both by the one monotonic clock."""
        before = self._things.word.value
        try:
            with deadline(self._limits.batch, self._scenario.title):
                self._link.send(count)
                self._hear("ready", self._limits.batch)
                begin = perf_counter_ns()
                self._scenario.play(self._things, 0, count)
                end = perf_counter_ns()
                peer_begin, peer_end = self._hear("times", self._limits.batch)
        except (DeadlineError, BrokenPipeError) as error:
            raise CellError(self._last_words() or str(error)) from None
        if self._scenario.counted and self._things.word.value != before + 2 * count:
            raise CellError("both processes were inside the lock at once: the shared count is wrong")
        return float(max(end, peer_end) - min(begin, peer_begin))

    def _hear(self, expected: str, seconds: float) -> Any:
        try:
            if not self._link.poll(seconds):
                raise CellError(f"the peer said nothing for {seconds:g} s")
            word, value = self._link.recv()
        except (EOFError, ConnectionResetError):
            raise CellError(f"the peer is gone, {self._ending()}") from None
        if word == "failed":
            raise CellError(f"the peer failed:\n{value}")
        if word != expected:
            raise CellError(f"the peer said {word!r}, not {expected!r}")
        return value

    def _last_words(self) -> str:
        """Why the peer does not play any more, if it said so."""
        try:
            while self._link.poll(0):
                word, value = self._link.recv()
                if word == "failed":
                    return f"the peer failed:\n{value}"
        except (EOFError, ConnectionResetError):
            return f"the peer is gone, {self._ending()}"
        return ""

    def _ending(self) -> str:
        self._peer.join(self._limits.child)
        return f"exit code {self._peer.exitcode}"

    def stop(self) -> None:
        """Let the peer end, which it must do well."""
        self._link.send(0)
        self._peer.join(self._limits.child)
        if self._peer.exitcode != 0:
            raise CellError(f"the peer ended badly, {self._ending()}")

    def kill(self) -> None:
        if self._peer.is_alive():
            self._peer.kill()
        self._peer.join(self._limits.child)
        self._link.close()
