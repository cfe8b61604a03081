# SPDX-License-Identifier: MIT
"""A scenario is something that both implementations can do, and of which the harness can time a batch."""

from __future__ import annotations

from abc import abstractmethod
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from multiprocessing.context import BaseContext
from typing import ClassVar, Protocol

from ..base.deadline import Limits
from ..base.impls import START_METHODS
from ..base.placement import PLACEMENTS, Place, place

ONE_METHOD = ("fork",)  # of a scenario to which it makes no difference how its processes were started


class Side(Protocol):
    """One implementation, set up to run batches of one scenario."""

    def batch(self, count: int) -> float:
        """Do so many operations and return the nanoseconds they took."""
        ...

    def origins(self) -> list[str]:
        """The classes of what runs, in every process that takes part."""
        ...


@dataclass(frozen=True)
class Scenario:
    """One row of the report. Its kinds differ in the processes that take part."""

    key: str
    title: str
    primitive: str
    operation: str  # what is done once, in words
    units: int = field(default=1, kw_only=True)  # one operation of a batch counts as so many
    payload: str = field(default="", kw_only=True)  # what travels, in words, if something does
    rival: str = field(default="", kw_only=True)  # the package that mpfast is compared with, if not the stdlib
    methods: tuple[str, ...] = field(default=START_METHODS, kw_only=True)
    first_batch: int = field(default=32, kw_only=True)  # operations that surely take no longer than a batch should

    kind: ClassVar[str]
    placements: ClassVar[tuple[str, ...]] = PLACEMENTS
    batch_seconds: ClassVar[float | None] = None  # None if a batch is one operation, whatever it takes

    def place(self, placement: str, mask: frozenset[int]) -> Place:
        return place(placement, mask)

    @property
    def setting(self) -> str:
        """Only scenarios with the same may share a measuring process."""
        return ""

    def floor(self, place: Place, method: str) -> float | None:
        """Nanoseconds that the kernel's part of an operation takes in C. None if that is not known."""
        return None

    @abstractmethod
    def open(self, context: BaseContext, place: Place, limits: Limits) -> AbstractContextManager[Side]:
        """Set the scenario up for one implementation, and clean up after it."""
        raise NotImplementedError


@dataclass(frozen=True)
class Cell:
    """A scenario under one start method in one placement. It is the unit that is measured and reported."""

    suite: str
    scenario: Scenario
    method: str
    placement: str

    @property
    def key(self) -> str:
        return f"{self.suite}/{self.scenario.key}/{self.method}/{self.placement}"
