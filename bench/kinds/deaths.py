# SPDX-License-Identifier: MIT
"""Scenarios of workers that end: killed ones, and those that have had their number of tasks.

concurrent.futures' executor is broken by a death. So the program does what it has to do, which is to make another one.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from multiprocessing.context import BaseContext
from time import perf_counter_ns
from typing import Any, ClassVar

from mpfb_pool import die, settle

from ..base.deadline import Limits, deadline
from ..base.errors import CellError
from ..base.impls import origins
from ..base.placement import Place
from .scenario import Scenario
from .tasks import OfExecutor, OfPool


class OfRecycled(OfPool):
    """Each worker has one task."""

    def __init__(self, context: BaseContext, cpus: frozenset[int]) -> None:
        self.lead = context.Pool(2, settle, (cpus,), 1)

    def processes(self) -> list[Any]:
        return []  # they come and go


@dataclass(frozen=True)
class Death(Scenario):
    """A task kills its worker. until: "the error" or "the next result", which the time ends with."""

    until: str = field(kw_only=True)

    kind: ClassVar[str] = "launch"

    @contextmanager
    def open(self, context: BaseContext, place: Place, limits: Limits) -> Iterator[DeathSide]:
        side = DeathSide(self, context, place, limits)
        yield side
        with deadline(limits.child, f"{self.title}: the end"):
            side.workers.finish()


class DeathSide:
    def __init__(self, scenario: Death, context: BaseContext, place: Place, limits: Limits) -> None:
        self._scenario, self._limits = scenario, limits
        self._make = partial(OfExecutor, context, place.peer)
        self.workers = self._make()

    def origins(self) -> list[str]:
        self.workers.all([1, 2])
        return origins([*self.workers.parts(), *self.workers.processes()])

    def batch(self, count: int) -> float:
        with deadline(self._limits.batch, self._scenario.title):
            return sum(self._die() for _number in range(count))

    def _die(self) -> float:
        self.workers.all([1, 2])  # they run
        begin = perf_counter_ns()
        error = self.workers.lead.submit(die).exception()
        told = perf_counter_ns()
        self._go_on()
        took = perf_counter_ns() - begin
        if error is None:
            raise CellError("the worker is not dead")
        return told - begin if self._scenario.until == "the error" else took

    def _go_on(self) -> None:
        try:
            self.workers.one(1)
        except BrokenProcessPool:
            self.workers.finish()
            self.workers = self._make()
            self.workers.one(1)
