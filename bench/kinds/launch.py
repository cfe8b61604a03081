# SPDX-License-Identifier: MIT
"""Scenarios whose operation is to start processes."""

from __future__ import annotations

import importlib.util
import mmap
import multiprocessing
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from multiprocessing.context import BaseContext
from multiprocessing.process import BaseProcess
from time import perf_counter_ns
from typing import Any, ClassVar

from mpfb_child import tell_class

from .. import use_main
from ..base.deadline import Limits, deadline
from ..base.errors import CellError, Skipped
from ..base.impls import origins
from ..base.placement import PLACEMENTS, Place
from ..floors import processes
from .scenario import Scenario


class Children:
    """Makes processes of one implementation, and sees to it that all of them end well."""

    def __init__(self, context: BaseContext) -> None:
        self._context = context
        self._made: list[BaseProcess] = []

    def make(self, target: Callable[..., None], *args: Any) -> BaseProcess:
        process: BaseProcess = self._context.Process(target=target, args=args)  # type: ignore[attr-defined]
        self._made.append(process)
        return process

    def start_all(self, processes: list[BaseProcess]) -> None:
        """With one call if the context has one for that."""
        start_many = getattr(self._context, "start_many", None)
        if start_many is not None:
            start_many(processes)
        else:
            for process in processes:
                process.start()

    def pipe(self) -> tuple[Connection, Connection]:
        """The stdlib's for both implementations, so that only the launching differs."""
        return multiprocessing.get_context(self._context.get_start_method()).Pipe(duplex=False)

    def settle(self) -> None:
        """A child that fails is quick, so its time is worth nothing."""
        while self._made:
            process = self._made[-1]
            process.join()
            if process.exitcode != 0:
                raise CellError(f"a child ended badly, exit code {process.exitcode}")
            process.close()
            self._made.pop()

    def kill(self) -> None:
        for process in self._made:
            if process.pid is not None and process.is_alive():
                process.kill()
                process.join()


@dataclass(frozen=True)
class Main:
    """The main module that children import."""

    name: str = "mpfb_script"
    module: bool = False  # as by python -m
    needs: str = ""  # a package

    def use(self) -> None:
        if self.needs and importlib.util.find_spec(self.needs) is None:
            raise Skipped(f"no {self.needs} here")
        use_main(self.name, self.module)


@dataclass(frozen=True)
class Launch(Scenario):
    run: Callable[[Children], float]
    pattern: str = field(default="", kw_only=True)  # of launch_floor
    main: Main = field(default=Main(), kw_only=True)
    megabytes: int = field(default=0, kw_only=True)  # of the parent, besides what it has anyway
    places: tuple[str, ...] = field(default=PLACEMENTS, kw_only=True)

    kind: ClassVar[str] = "launch"

    @property
    def placements(self) -> tuple[str, ...]:  # type: ignore[override]
        return self.places

    @property
    def setting(self) -> str:
        """A fork server keeps the main that it has imported, so another main needs another measuring process."""
        return repr(self.main)

    def place(self, placement: str, mask: frozenset[int]) -> Place:
        """Parent and child share the CPUs, because a child inherits those of its parent."""
        chosen = super().place(placement, mask)
        return Place(chosen.both, chosen.both)

    def floor(self, place: Place, method: str) -> float | None:
        return processes.nanoseconds(self.pattern, method, place, self.megabytes) if self.pattern else None

    @contextmanager
    def open(self, context: BaseContext, place: Place, limits: Limits) -> Iterator[LaunchSide]:
        self.main.use()
        side = LaunchSide(self, Children(context), limits)
        try:
            yield side
        finally:
            side.children.kill()


class LaunchSide:
    def __init__(self, scenario: Launch, children: Children, limits: Limits) -> None:
        self._scenario, self._limits = scenario, limits
        self._memory = touched(scenario.megabytes << 19)  # half of it, for there are two sides
        self.children = children

    def origins(self) -> list[str]:
        """This is the warm-up too. It starts the fork server if there is one."""
        with deadline(self._limits.child, "the first child"):
            ours, theirs = self.children.pipe()
            process = self.children.make(tell_class, theirs)
            process.start()
            theirs.close()
            told = listen(ours)
            self.children.settle()
        return [*origins([process]), told]

    def batch(self, count: int) -> float:
        with deadline(self._limits.batch, self._scenario.title):
            nanoseconds = self._scenario.run(self.children)
            self.children.settle()
        return nanoseconds


def touched(size: int) -> mmap.mmap | None:
    """Private memory in small pages, all of them touched. fork() has to copy their tables."""
    if not size:
        return None
    memory = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    memory.madvise(mmap.MADV_NOHUGEPAGE)
    memory.write(bytes(size))
    return memory


def listen(link: Connection) -> str:
    with link:
        try:
            return str(link.recv())
        except EOFError:
            raise CellError("the first child ended without a word") from None


def elapsed_since(begin: int) -> float:
    return float(perf_counter_ns() - begin)
