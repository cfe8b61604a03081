# SPDX-License-Identifier: MIT
"""Scenarios of a manager's proxy."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.context import BaseContext
from typing import Any, ClassVar

from ..base.deadline import Limits, deadline
from ..base.impls import origins
from ..base.placement import Place
from ..floors.messages import Floor
from .alone import clocked
from .scenario import ONE_METHOD, Scenario


@dataclass(frozen=True)
class Calls(Scenario):
    """A process that uses a proxy, and the manager's server."""

    loop: Callable[[Any, int], None]
    methods: tuple[str, ...] = field(default=ONE_METHOD, kw_only=True)

    kind: ClassVar[str] = "talk"
    batch_seconds: ClassVar[float | None] = 0.01

    def floor(self, place: Place, method: str) -> float | None:
        """A call and its answer have some fifty bytes."""
        return Floor("turns", "unix", 50).nanoseconds(place)

    @contextmanager
    def open(self, context: BaseContext, place: Place, limits: Limits) -> Iterator[CallsSide]:
        with context.Manager() as manager:
            move(manager._process.pid, place.peer)  # type: ignore[attr-defined]
            proxy = manager.dict()
            proxy["key"] = 0
            yield CallsSide(self, manager, proxy, limits)


def move(pid: int, cpus: frozenset[int]) -> None:
    """Put all threads of a process on these CPUs, and so those that they will start."""
    for tid in os.listdir(f"/proc/{pid}/task"):
        os.sched_setaffinity(int(tid), cpus)


class CallsSide:
    def __init__(self, scenario: Calls, manager: Any, proxy: Any, limits: Limits) -> None:
        self._scenario, self._manager, self._proxy, self._limits = scenario, manager, proxy, limits

    def origins(self) -> list[str]:
        """The proxy is the stdlib's on both sides. The connection below it is not."""
        return origins([self._manager, self._proxy._tls.connection])

    def batch(self, count: int) -> float:
        with deadline(self._limits.batch, self._scenario.title):
            return clocked(self._scenario.loop, self._proxy, count)
