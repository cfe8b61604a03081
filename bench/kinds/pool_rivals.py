# SPDX-License-Identifier: MIT
"""Pools of other packages, with two workers and their own defaults, in the stdlib's place."""

from __future__ import annotations

import importlib
from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.context import BaseContext
from typing import Any

from mpfb_pool import same, settle
from mpfb_talk import check, payload

from ..base.deadline import Limits, deadline
from ..base.impls import origins
from ..base.placement import Place, pinned
from ..base.rivals import Rival
from .tasks import WORKERS, Tasks, TasksSide, Workers


class OfRival(Workers):
    """The pool of another package. Its processes end as it likes."""

    package: str

    def __init__(self, cpus: frozenset[int]) -> None:
        self.lead = self.make(importlib.import_module(self.package), cpus)

    @abstractmethod
    def make(self, package: Any, cpus: frozenset[int]) -> Any:
        """A pool of two workers on these CPUs."""
        raise NotImplementedError

    def one(self, thing: Any) -> Any:
        return self.start(thing)()

    def parts(self) -> list[Any]:
        return [self.lead]

    def processes(self) -> list[Any]:
        return []


class OfLoky(OfRival):
    package = "loky"

    def make(self, package: Any, cpus: frozenset[int]) -> Any:
        return package.ProcessPoolExecutor(WORKERS, initializer=settle, initargs=(cpus,))

    def start(self, thing: Any) -> Callable[[], Any]:
        result: Callable[[], Any] = self.lead.submit(same, thing).result
        return result

    def all(self, things: Sequence[Any]) -> Sequence[Any]:
        return list(self.lead.map(same, things))

    def finish(self) -> None:
        self.lead.shutdown()


class OfDeadpool(OfLoky):
    package = "deadpool"

    def make(self, package: Any, cpus: frozenset[int]) -> Any:
        return package.Deadpool(WORKERS, initializer=settle, initargs=(cpus,), max_backlog=1 << 20)


class OfPebble(OfRival):
    package = "pebble"

    def make(self, package: Any, cpus: frozenset[int]) -> Any:
        return package.ProcessPool(WORKERS, initializer=settle, initargs=(cpus,))

    def start(self, thing: Any) -> Callable[[], Any]:
        result: Callable[[], Any] = self.lead.schedule(same, (thing,)).result
        return result

    def all(self, things: Sequence[Any]) -> Sequence[Any]:
        return list(self.lead.map(same, things).result())

    def finish(self) -> None:
        self.lead.close()
        self.lead.join()


class OfMpire(OfRival):
    """A pool of its that has run single calls cannot run a map, so there is one for each."""

    package = "mpire"
    _for_maps: Any = None

    def __init__(self, cpus: frozenset[int]) -> None:
        super().__init__(cpus)
        self._cpus = cpus

    def make(self, package: Any, cpus: frozenset[int]) -> Any:
        return package.WorkerPool(WORKERS, cpu_ids=[sorted(cpus)] * WORKERS, keep_alive=True)

    def start(self, thing: Any) -> Callable[[], Any]:
        get: Callable[[], Any] = self.lead.apply_async(same, (thing,)).get
        return get

    def all(self, things: Sequence[Any]) -> Sequence[Any]:
        if self._for_maps is None:
            self._for_maps = self.make(importlib.import_module(self.package), self._cpus)
        done: Sequence[Any] = self._for_maps.map(same, things, chunk_size=1)
        return done

    def finish(self) -> None:
        self.lead.stop_and_join()
        if self._for_maps is not None:
            self._for_maps.stop_and_join()


class OfZoo(OfLoky):
    package = "zooparallel"

    def make(self, package: Any, cpus: frozenset[int]) -> Any:
        with pinned(cpus):  # it has no initializer, and its workers inherit this
            return package.ZooPool(WORKERS)


RIVALS: dict[str, type[OfRival]] = {cls.package: cls for cls in (OfPebble, OfLoky, OfMpire, OfZoo, OfDeadpool)}


@dataclass(frozen=True)
class RivalTasks(Tasks):
    """mpfast's pool beside another package's."""

    theirs: type[OfRival] = field(kw_only=True)

    @contextmanager
    def open(self, context: BaseContext, place: Place, limits: Limits) -> Iterator[TasksSide]:
        with deadline(limits.child, self.title):
            workers = self.theirs(place.peer) if isinstance(context, Rival) else self.workers(context, place.peer)
            check(self.payload, workers.one(payload(self.payload)))
        yield RivalSide(self, workers, limits)
        with deadline(limits.child, f"{self.title}: the end"):
            workers.close()


class RivalSide(TasksSide):
    def origins(self) -> list[str]:
        return origins(self._workers.parts())
