# SPDX-License-Identifier: MIT
"""Scenarios of a pool of workers. The tasks do next to nothing."""

from __future__ import annotations

import concurrent.futures
import importlib
import importlib.util
from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import repeat
from multiprocessing.context import BaseContext
from time import perf_counter_ns
from typing import Any, ClassVar

from mpfb_pool import same, settle
from mpfb_talk import check, payload

from ..base.deadline import Limits, deadline
from ..base.errors import CellError, Skipped
from ..base.impls import origins
from ..base.placement import Place
from .alone import clocked
from .scenario import ONE_METHOD, Scenario

WORKERS = 2


class Workers:
    """Two workers, whichever class leads them."""

    lead: Any  # the pool or the executor

    @abstractmethod
    def one(self, thing: Any) -> Any:
        """What a single task gives."""
        raise NotImplementedError

    @abstractmethod
    def start(self, thing: Any) -> Callable[[], Any]:
        """Begins a task. Returns what waits for its result."""
        raise NotImplementedError

    @abstractmethod
    def all(self, things: Sequence[Any]) -> Sequence[Any]:
        """What a task for each of the things gives."""
        raise NotImplementedError

    @abstractmethod
    def parts(self) -> list[Any]:
        """What came from the context."""
        raise NotImplementedError

    @abstractmethod
    def processes(self) -> list[Any]:
        raise NotImplementedError

    @abstractmethod
    def finish(self) -> None:
        """Blocks until the workers have ended."""
        raise NotImplementedError

    def close(self) -> None:
        """Let them end, which they must do well."""
        processes = self.processes()
        self.finish()
        codes = [process.exitcode for process in processes]
        if any(codes):
            raise CellError(f"workers ended badly, exit codes {codes}")


def queues_of(lead: Any, *names: str) -> list[Any]:
    return [queue for name in names if (queue := getattr(lead, name, None)) is not None]


class OfPool(Workers):
    def __init__(self, context: BaseContext, cpus: frozenset[int]) -> None:
        self.lead = context.Pool(WORKERS, settle, (cpus,))

    def one(self, thing: Any) -> Any:
        return self.lead.apply(same, (thing,))

    def start(self, thing: Any) -> Callable[[], Any]:
        get: Callable[[], Any] = self.lead.apply_async(same, (thing,)).get
        return get

    def all(self, things: Sequence[Any]) -> Sequence[Any]:
        done: Sequence[Any] = self.lead.map(same, things, 1)
        return done

    def parts(self) -> list[Any]:
        """Itself, and its queues if it has such."""
        return [self.lead, *queues_of(self.lead, "_inqueue", "_outqueue")]

    def processes(self) -> list[Any]:
        return list(self.lead._pool)

    def finish(self) -> None:
        self.lead.close()
        self.lead.join()


class OfExecutor(Workers):
    """The package's own executor, or the stdlib's over its context.

    The stdlib's has a queue of calls whose class derives from the stdlib's on both sides.
    """

    def __init__(self, context: BaseContext, cpus: frozenset[int]) -> None:
        package = importlib.import_module(type(context).__module__.partition(".")[0])
        self._own = hasattr(package, "ProcessPoolExecutor")
        make = package.ProcessPoolExecutor if self._own else concurrent.futures.ProcessPoolExecutor
        self.lead = make(WORKERS, context, settle, (cpus,))

    def one(self, thing: Any) -> Any:
        return self.lead.submit(same, thing).result()

    def start(self, thing: Any) -> Callable[[], Any]:
        result: Callable[[], Any] = self.lead.submit(same, thing).result
        return result

    def all(self, things: Sequence[Any]) -> Sequence[Any]:
        return list(self.lead.map(same, things))

    def parts(self) -> list[Any]:
        return [self.lead] if self._own else queues_of(self.lead, "_result_queue")

    def processes(self) -> list[Any]:
        return list(self.lead._processes.values())

    def finish(self) -> None:
        self.lead.shutdown()


Work = tuple[Workers, Any]  # and what they are given


def one_by_one(work: Work, count: int) -> None:
    workers, thing = work
    for _ in repeat(None, count):
        workers.one(thing)


def start_all(work: Work, count: int) -> None:
    workers, thing = work
    for get in [workers.start(thing) for _ in repeat(None, count)]:
        get()


def all_at_once(work: Work, count: int) -> None:
    workers, thing = work
    workers.all([thing] * count)


@dataclass(frozen=True)
class Tasks(Scenario):
    """The measuring process hands out tasks. The workers share the peer's CPU."""

    workers: Callable[[BaseContext, frozenset[int]], Workers]
    loop: Callable[[Work, int], None]
    payload: str = field(default="int", kw_only=True)
    methods: tuple[str, ...] = field(default=ONE_METHOD, kw_only=True)

    kind: ClassVar[str] = "crowd"
    batch_seconds: ClassVar[float | None] = 0.03

    @contextmanager
    def open(self, context: BaseContext, place: Place, limits: Limits) -> Iterator[TasksSide]:
        if "array" in self.payload and importlib.util.find_spec("numpy") is None:
            raise Skipped("numpy is not installed")
        with deadline(limits.child, self.title):
            workers = self.workers(context, place.peer)
            check(self.payload, workers.one(payload(self.payload)))
        yield TasksSide(self, workers, limits)
        with deadline(limits.child, f"{self.title}: the end"):
            workers.close()


class TasksSide:
    def __init__(self, scenario: Tasks, workers: Workers, limits: Limits) -> None:
        self._scenario, self._workers, self._limits = scenario, workers, limits

    def origins(self) -> list[str]:
        return origins([*self._workers.parts(), *self._workers.processes()])

    def batch(self, count: int) -> float:
        with deadline(self._limits.batch, self._scenario.title):
            return clocked(self._scenario.loop, (self._workers, payload(self._scenario.payload)), count)


@dataclass(frozen=True)
class Life(Scenario):
    """From nothing to two workers, a task for each, and their end."""

    workers: Callable[[BaseContext, frozenset[int]], Workers]

    kind: ClassVar[str] = "launch"

    @contextmanager
    def open(self, context: BaseContext, place: Place, limits: Limits) -> Iterator[LifeSide]:
        yield LifeSide(self, context, place, limits)


class LifeSide:
    def __init__(self, scenario: Life, context: BaseContext, place: Place, limits: Limits) -> None:
        self._scenario, self._context, self._place, self._limits = scenario, context, place, limits

    def origins(self) -> list[str]:
        workers = self._scenario.workers(self._context, self._place.peer)
        workers.all([1, 2])
        found = origins([*workers.parts(), *workers.processes()])
        workers.close()
        return found

    def batch(self, count: int) -> float:
        with deadline(self._limits.batch, self._scenario.title):
            return clocked(self._live, None, count)

    def _live(self, _thing: None, count: int) -> None:
        for _number in range(count):
            workers = self._scenario.workers(self._context, self._place.peer)
            workers.all([1, 2])
            workers.close()


@dataclass(frozen=True)
class First(Life):
    """From nothing to the first result. The end is not measured."""

    @contextmanager
    def open(self, context: BaseContext, place: Place, limits: Limits) -> Iterator[LifeSide]:
        yield FirstSide(self, context, place, limits)


class FirstSide(LifeSide):
    def batch(self, count: int) -> float:
        with deadline(self._limits.batch, self._scenario.title):
            return sum(self._first() for _number in range(count))

    def _first(self) -> float:
        begin = perf_counter_ns()
        workers = self._scenario.workers(self._context, self._place.peer)
        workers.one(1)
        took = perf_counter_ns() - begin
        workers.close()
        return took
