# SPDX-License-Identifier: MIT
"""Scenarios that one process runs by itself. No other process touches the primitive."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import repeat
from multiprocessing.context import BaseContext
from time import perf_counter_ns
from typing import Any, ClassVar

from ..base.deadline import Limits, deadline
from ..base.impls import origins
from ..base.placement import Place
from .scenario import Scenario

Loop = Callable[[Any, int], None]


@dataclass(frozen=True)
class Alone(Scenario):
    make: Callable[[BaseContext], Any]
    loop: Loop
    makes: bool = False  # `make` returns the maker of what is measured, not the thing itself

    kind: ClassVar[str] = "alone"
    placements: ClassVar[tuple[str, ...]] = ("one_cpu",)
    batch_seconds: ClassVar[float | None] = 0.004

    @contextmanager
    def open(self, context: BaseContext, place: Place, limits: Limits) -> Iterator[AloneSide]:
        yield AloneSide(self, self.make(context), limits)


class AloneSide:
    def __init__(self, scenario: Alone, thing: Any, limits: Limits) -> None:
        self._scenario, self._thing, self._limits = scenario, thing, limits

    def origins(self) -> list[str]:
        thing = self._thing() if self._scenario.makes else self._thing
        return origins(thing if isinstance(thing, tuple) else [thing])

    def batch(self, count: int) -> float:
        with deadline(self._limits.batch, self._scenario.title):
            return clocked(self._scenario.loop, self._thing, count)


def make_and_drop(maker: Callable[[], object], count: int) -> None:
    """Dropping is measured too, because a program that creates objects also drops them. Both sides pay for both."""
    for _ in repeat(None, count):
        maker()


def creating(
    key: str, what: str, group: str, maker: Callable[[BaseContext], Callable[[], object]], operation: str = ""
) -> Alone:
    """What it costs to create something. operation: how that is written, if not as `what` says."""
    return Alone(
        key=f"make_{key}",
        title=f"create {what}",
        primitive=group,
        operation=f"{operation or what}, dropped at once",
        make=maker,
        loop=make_and_drop,
        makes=True,
    )


def clocked(loop: Loop, thing: Any, count: int) -> float:
    """The time of a batch, without the garbage collector's (as timeit has it)."""
    collects = gc.isenabled()
    gc.disable()
    try:
        begin = perf_counter_ns()
        loop(thing, count)
        return perf_counter_ns() - begin
    finally:
        if collects:
            gc.enable()


def empty_loop(thing: Any, count: int) -> None:
    for _ in repeat(None, count):
        pass


def overhead_ns() -> float:
    """What the harness adds to each operation of these scenarios, which is one turn of the loop."""
    count = 100_000
    return min(clocked(empty_loop, None, count) for _ in range(9)) / count
