# SPDX-License-Identifier: MIT
"""How far a run of cells is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TextIO

from ..base.countdown import Countdown
from ..base.units import PLACEMENT_NAMES
from ..kinds.scenario import Cell
from ..suites.plan import Effort

SETTING_UP = 0.3  # seconds of a cell beside its budget


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
