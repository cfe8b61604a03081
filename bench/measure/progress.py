# SPDX-License-Identifier: MIT
"""A line that says how far the run is: rewritten in place on a terminal, now and then elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from time import monotonic
from typing import TextIO

from ..base.units import PLACEMENT_NAMES
from ..kinds.scenario import Cell
from ..suites.plan import Effort

SPARSE_SECONDS = 15.0
SETTING_UP = 0.3  # seconds of a cell beside its budget


class Countdown:
    """So many steps, which may differ in what they cost. `expected`: the seconds of all of them, if known."""

    def __init__(self, steps: int, stream: TextIO, cost: float | None = None, expected: bool = False) -> None:
        self._stream, self._steps, self._expected = stream, steps, expected
        self._cost = float(steps) if cost is None else cost
        self._live = stream.isatty()
        self._done, self._done_cost = 0, 0.0
        self._begin = self._shown = monotonic()
        self._show("starting")

    def step(self, what: str, cost: float = 1.0) -> None:
        self._done += 1
        self._done_cost += cost
        if self._live or monotonic() - self._shown >= SPARSE_SECONDS:
            self._show(what)

    def _show(self, what: str) -> None:
        self._shown = monotonic()
        text = f"[{self._done}/{self._steps}] {self._left()}{what}"
        self._stream.write(f"\r\x1b[K{text}" if self._live else f"{text}\n")
        self._stream.flush()

    def _left(self) -> str:
        """The plan's estimate, corrected by how the run has kept to it so far."""
        left = self._cost - self._done_cost
        if self._done_cost:
            left *= (monotonic() - self._begin) / self._done_cost
        elif not self._expected:
            return ""
        return f"{int(left) // 60}:{int(left) % 60:02} left: "

    def close(self) -> None:
        if self._live:
            self._stream.write("\r\x1b[K")
            self._stream.flush()


class Progress(Countdown):
    """Of a run of cells, each measured once a round."""

    def __init__(self, cells: Sequence[Cell], effort: Effort, stream: TextIO) -> None:
        self._effort = effort
        cost = sum(map(self.cost_of, cells)) * effort.rounds
        super().__init__(len(cells) * effort.rounds, stream, cost, expected=True)

    def cost_of(self, cell: Cell) -> float:
        return self._effort.budgets[cell.scenario.kind].seconds + SETTING_UP

    def step_of(self, cell: Cell) -> None:
        name = f"{cell.scenario.title}, {cell.method}, {PLACEMENT_NAMES[cell.placement]}"
        self.step(name, self.cost_of(cell))
