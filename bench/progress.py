# SPDX-License-Identifier: MIT
"""A line that says how far the run is: rewritten in place on a terminal, now and then elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from time import monotonic
from typing import TextIO

from .plan import Effort
from .scenario import Cell
from .units import PLACEMENT_NAMES

SPARSE_SECONDS = 15.0
SETTING_UP = 0.3  # seconds of a cell beside its budget


class Progress:
    def __init__(self, cells: Sequence[Cell], effort: Effort, stream: TextIO) -> None:
        self._effort, self._stream = effort, stream
        self._live = stream.isatty()
        self._steps = len(cells) * effort.rounds
        self._expected = sum(map(self._cost, cells)) * effort.rounds
        self._done, self._done_cost = 0, 0.0
        self._begin = self._shown = monotonic()
        self._show("starting")

    def _cost(self, cell: Cell) -> float:
        return self._effort.budgets[cell.scenario.kind].seconds + SETTING_UP

    def step(self, cell: Cell) -> None:
        self._done += 1
        self._done_cost += self._cost(cell)
        if self._live or monotonic() - self._shown >= SPARSE_SECONDS:
            self._show(f"{cell.scenario.title}, {cell.method}, {PLACEMENT_NAMES[cell.placement]}")

    def _show(self, what: str) -> None:
        self._shown = monotonic()
        text = f"[{self._done}/{self._steps}] {self._left()} left: {what}"
        self._stream.write(f"\r\x1b[K{text}" if self._live else f"{text}\n")
        self._stream.flush()

    def _left(self) -> str:
        """The plan's estimate, corrected by how the run has kept to it so far."""
        left = self._expected - self._done_cost
        gone = monotonic() - self._begin
        if self._done_cost:
            left *= gone / self._done_cost
        return f"{int(left) // 60}:{int(left) % 60:02}"

    def close(self) -> None:
        if self._live:
            self._stream.write("\r\x1b[K")
            self._stream.flush()
