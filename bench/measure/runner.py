# SPDX-License-Identifier: MIT
"""Measures many cells, in one measuring process after the other, and in a new one after each failure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from ..base.deadline import Limits
from ..kinds.scenario import Cell
from ..suites.plan import Effort, batches
from .crew import COMMAND, Crew
from .results import Measured, Result


@dataclass
class Run:
    """All that a run is told, and all that it finds out."""

    cells: list[Cell]
    effort: Effort
    limits: Limits = field(default_factory=Limits)
    same: bool = False
    command: Sequence[str] = COMMAND
    results: dict[str, Result] = field(default_factory=dict)
    leftovers: list[str] = field(default_factory=list)  # cells after which processes had to be killed

    def steps(self) -> Iterator[Cell]:
        """Measure. Each round of each cell is a step. If this is stopped, the results of the steps before remain."""
        for _ in range(self.effort.rounds):
            for batch in batches(self.cells):
                yield from self._measure(batch)

    def _measure(self, batch: Iterable[Cell]) -> Iterator[Cell]:
        """Cells that share a measuring process, unless one of them fails."""
        crew: Crew | None = None
        cell = None
        try:
            for cell in batch:
                if not self._given_up(cell):
                    crew = crew or Crew(self.command)
                    if not self._ask(crew, cell):
                        crew.kill()
                        crew = None
                yield cell
            if crew and not crew.end() and cell:
                self.leftovers.append(cell.key)
            crew = None
        finally:
            if crew:
                crew.kill()

    def _given_up(self, cell: Cell) -> bool:
        return cell.key in self.results and self.results[cell.key].status != "ok"

    def _job(self, cell: Cell) -> dict[str, Any]:
        return {
            "cell": cell.key,
            "budget": asdict(self.effort.budgets[cell.scenario.kind]),
            "limits": asdict(self.limits),
            "same": self.same,
        }

    def _ask(self, crew: Crew, cell: Cell) -> bool:
        """Whether the crew can be asked again."""
        seconds = self.limits.cell + self.effort.budgets[cell.scenario.kind].seconds
        answer = crew.ask(self._job(cell), seconds)
        measured = Measured(**answer["measured"]) if answer["measured"] else None
        result = self.results.setdefault(cell.key, Result(cell))
        result.add(answer["status"], answer["reason"], measured)
        return bool(answer["status"] != "failed")
