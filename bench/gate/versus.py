# SPDX-License-Identifier: MIT
"""Two builds of mpfast against each other. They do batches in turns, each round in fresh processes from fresh files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

from .. import command
from ..base.deadline import Limits
from ..base.stats import Interval, interval_of_median
from ..kinds.scenario import Cell
from ..measure.crew import Crew
from .builds import FOLDER, Build

COMMAND = command("bout")
ROUNDS = 3
PAIRS = {"alone": 24, "duo": 16, "talk": 16, "crowd": 12, "launch": 24}
SLOWER = 1.08  # in every round, where equals differ by less than half of that


class NoAnswer(Exception):
    """A build gave no time. The text names it and says why. status is "failed", "skipped" or "lacking"."""

    def __init__(self, build: Build, status: str, reason: str) -> None:
        super().__init__(f"{build.name} ({build.short}): {reason}")
        self.build, self.status = build, status


@dataclass
class Comparison:
    """A cell's pairs of nanoseconds (base, head), round by round."""

    cell: Cell
    rounds: list[list[tuple[float, float]]] = field(default_factory=list)
    status: str = "ok"  # "failed", "skipped", or "new": the base cannot do it
    reason: str = ""

    @property
    def factors(self) -> list[float]:
        """The head's time in times of the base's, pair by pair."""
        return [head / base for pairs in self.rounds for base, head in pairs]

    @property
    def factor(self) -> float:
        return median(self.factors)

    @property
    def interval(self) -> Interval:
        return interval_of_median(self.factors)

    @property
    def slower(self) -> bool:
        """The median of every round is above SLOWER, and the interval does not have 1 in it."""
        return self.status == "ok" and min(self._medians()) > SLOWER and self.interval.low > 1

    def _medians(self) -> list[float]:
        return [median(head / base for base, head in pairs) for pairs in self.rounds]

    def as_json(self) -> dict[str, Any]:
        known = {"key": self.cell.key, "status": self.status, "reason": self.reason}
        if self.status != "ok":
            return known
        low, high, confidence = self.interval
        interval = {"low": low, "high": high, "confidence": confidence}
        return known | {"factor": self.factor, "interval": interval, "rounds_ns": self.rounds, "slower": self.slower}


def compare(cells: list[Cell], builds: tuple[Build, Build], limits: Limits) -> Iterator[Comparison]:
    """Measures all cells once in each round. Yields a cell's comparison after each of its rounds."""
    found = {cell.key: Comparison(cell) for cell in cells}
    for number in range(ROUNDS):
        order = builds if number % 2 == 0 else builds[::-1]
        with TemporaryDirectory(dir=FOLDER) as folder:
            copies = [build.copied_to(Path(folder)) for build in order]
            for cell in cells:
                comparison = found[cell.key]
                if comparison.status == "ok":
                    one_round(comparison, copies, limits)
                yield comparison


def one_round(comparison: Comparison, order: Sequence[Build], limits: Limits) -> None:
    try:
        comparison.rounds.append(measure(comparison.cell, order, limits))
    except NoAnswer as problem:
        comparison.status, comparison.reason = problem.status, str(problem)
        if problem.status == "lacking":
            _lacking(comparison, problem, order, limits)


def _lacking(comparison: Comparison, problem: NoAnswer, order: Sequence[Build], limits: Limits) -> None:
    """New, if it is the base that cannot do it, and the head can."""
    comparison.status = "failed"
    if problem.build.name != "base":
        return
    head = next(build for build in order if build.name == "head")
    try:
        with Opened(head, comparison.cell, limits):
            comparison.status = "new"
    except NoAnswer as also:
        comparison.reason = str(also)


def measure(cell: Cell, order: Sequence[Build], limits: Limits) -> list[tuple[float, float]]:
    with ExitStack() as stack:
        sides = {build.name: stack.enter_context(Opened(build, cell, limits)) for build in order}
        count = max(1, round(sum(side.count for side in sides.values()) / 2))
        pairs = []
        for number in range(PAIRS[cell.scenario.kind]):
            turn = ("base", "head") if number % 2 == 0 else ("head", "base")
            took = {name: sides[name].batch(count) for name in turn}
            pairs.append((took["base"] / count, took["head"] / count))
    return pairs


class Opened:
    """A build's measuring process, with a cell open in it."""

    def __init__(self, build: Build, cell: Cell, limits: Limits) -> None:
        self._build, self._limits = build, limits
        self._crew = Crew(COMMAND, environment=build.environment())
        self.count = 0
        try:
            self.count = self._ask(do="open", cell=cell.key, limits=asdict(limits))
        except BaseException:
            self._crew.kill()
            raise

    def _ask(self, **job: Any) -> Any:
        answer = self._crew.ask(job, self._limits.cell)
        if answer["status"] != "ok":
            raise NoAnswer(self._build, answer["status"], answer["reason"])
        return answer["measured"]

    def batch(self, count: int) -> float:
        nanoseconds: float = self._ask(do="batch", count=count)
        return nanoseconds

    def __enter__(self) -> Opened:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                self._ask(do="close")
                if self._crew.end():
                    return
                raise NoAnswer(self._build, "failed", "processes were left behind")
        except BaseException:
            self._crew.kill()
            raise
        self._crew.kill()
