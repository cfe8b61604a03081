# SPDX-License-Identifier: MIT
"""What is known about a cell after measuring it, in this process and as JSON."""

from __future__ import annotations

from dataclasses import dataclass, field
from statistics import median
from typing import Any

from ..base.stats import Interval, interval_of_median
from ..kinds.scenario import Cell

ALIKE = 0.02  # the stdlib against itself stays within this, mostly (--aa)
WIDE = 1.2  # ends of an interval further apart than this, around 1, cannot tell equals from a difference

VERDICTS = {  # of a result, in words
    "faster": "faster",
    "same": "without a clear difference",
    "unclear": "too noisy to tell",
    "slower": "slower",
    "failed": "could not be measured",
    "skipped": "skipped",
}

Pair = tuple[float, float]  # nanoseconds per operation, the stdlib's and mpfast's


@dataclass
class Measured:
    """What one round of a cell gave."""

    pairs: list[Pair]
    counts: dict[str, int]
    origins: dict[str, list[str]]
    floor_ns: float | None = None  # what the kernel's part takes in C


@dataclass
class Result:
    """A cell and what its rounds gave. A failure in any of them takes the times away."""

    cell: Cell
    rounds: list[Measured] = field(default_factory=list)
    status: str = "ok"  # or "failed" or "skipped"
    reason: str = ""

    def add(self, status: str, reason: str, measured: Measured | None) -> None:
        if measured is not None:
            self.rounds.append(measured)
        if status != "ok":
            self.status, self.reason = status, reason

    @property
    def pairs(self) -> list[Pair]:
        return [pair for measured in self.rounds for pair in measured.pairs] if self.status == "ok" else []

    @property
    def ratios(self) -> list[float]:
        """How many times faster than the stdlib, pair by pair."""
        return [base / ours for base, ours in self.pairs]

    @property
    def ratio(self) -> float:
        return median(self.ratios)

    @property
    def interval(self) -> Interval:
        return interval_of_median(self.ratios)

    @property
    def base_ns(self) -> float:
        return median(base for base, _ in self.pairs)

    @property
    def ours_ns(self) -> float:
        return median(ours for _, ours in self.pairs)

    @property
    def floor_ns(self) -> float | None:
        """The best of the rounds, as befits a floor."""
        return min((m.floor_ns for m in self.rounds if m.floor_ns is not None), default=None)

    @property
    def verdict(self) -> str:
        """Slower or faster only if the whole interval is, and by more than equals differ on a quiet machine.

        The same only if the interval is narrow. A wide one is unclear, and so is a single pair.
        """
        if self.status != "ok":
            return self.status
        low, high, confidence = self.interval
        if not confidence:
            return "unclear"
        if high < 1 and self.ratio < 1 - ALIKE:
            return "slower"
        if low > 1 and self.ratio > 1 + ALIKE:
            return "faster"
        return "unclear" if high / low > WIDE else "same"

    def as_json(self) -> dict[str, Any]:
        cell = self.cell
        known = {
            "key": cell.key,
            "suite": cell.suite,
            "scenario": cell.scenario.key,
            "title": cell.scenario.title,
            "operation": cell.scenario.operation,
            "start_method": cell.method,
            "placement": cell.placement,
            "status": self.status,
            "reason": self.reason,
        }
        return known | (self._numbers() if self.status == "ok" else {})

    def _numbers(self) -> dict[str, Any]:
        low, high, confidence = self.interval
        return {
            "verdict": self.verdict,
            "times_faster": self.ratio,
            "interval": {"low": low, "high": high, "confidence": confidence},
            "stdlib_ns": self.base_ns,
            "mpfast_ns": self.ours_ns,
            "floor_ns": self.floor_ns,
            "pairs_ns": [[round(base, 2), round(ours, 2)] for base, ours in self.pairs],
            "batch": self.rounds[-1].counts,
            "classes": self.rounds[-1].origins,
        }
