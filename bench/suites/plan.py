# SPDX-License-Identifier: MIT
"""Which cells there are, and how long each may be measured. The one list behind the report and behind asv."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from ..kinds.scenario import Cell, Scenario
from . import connections, launch, locks, managers, pools, queues, tables, values

SUITES: dict[str, tuple[Scenario, ...]] = {
    "locks": locks.SCENARIOS,
    "values": values.SCENARIOS,
    "tables": tables.SCENARIOS,
    "queues": queues.SCENARIOS,
    "connections": connections.SCENARIOS,
    "launch": launch.SCENARIOS,
    "pools": pools.SCENARIOS,
    "managers": managers.SCENARIOS,
}


@dataclass(frozen=True)
class Budget:
    """A cell is measured for so many seconds in each of the rounds, but in at least and at most so many pairs."""

    seconds: float
    least: int
    most: int


@dataclass(frozen=True)
class Effort:
    """How thorough a run is."""

    rounds: int  # each in fresh processes, because a process's memory layout is part of the noise
    budgets: dict[str, Budget]


FULL = Effort(
    2,
    {
        "alone": Budget(0.12, 10, 60),
        "duo": Budget(0.18, 6, 80),
        "talk": Budget(0.15, 4, 60),
        "crowd": Budget(0.18, 6, 80),
        "launch": Budget(0.25, 3, 200),
    },
)
QUICK = Effort(
    1,
    {
        "alone": Budget(0.06, 6, 20),
        "duo": Budget(0.15, 6, 20),
        "talk": Budget(0.1, 3, 20),
        "crowd": Budget(0.15, 6, 20),
        "launch": Budget(0.15, 1, 40),
    },
)


def hurried(chosen: Sequence[Cell]) -> list[Cell]:
    """The cells of a quick run, under the start method fork and without other packages."""
    return [cell for cell in chosen if cell.method == "fork" and not cell.scenario.rival]


def exactly(pairs: int) -> Effort:
    """One round of so many pairs in each cell."""
    return Effort(1, {kind: Budget(0, pairs, pairs) for kind in FULL.budgets})


def all_cells() -> Iterator[Cell]:
    for suite, scenarios in SUITES.items():
        for scenario in scenarios:
            for method in scenario.methods:
                for placement in scenario.placements:
                    yield Cell(suite, scenario, method, placement)


def cells(only: Sequence[str] = ()) -> list[Cell]:
    """The cells whose key contains any of these strings, or all. The name of a suite means its cells and no others."""
    wanted = [text + "/" if text in SUITES else text for text in only]
    return [cell for cell in all_cells() if not only or any(text in cell.key for text in wanted)]


def find(key: str) -> Cell:
    return next(cell for cell in all_cells() if cell.key == key)


def batches(chosen: Iterable[Cell]) -> list[list[Cell]]:
    """The cells that may share a process. A fork server, for example, keeps the CPUs that it was started on."""

    def shared(cell: Cell) -> tuple[str, str, str, str]:
        return (cell.scenario.kind, cell.method, cell.placement, cell.scenario.setting)

    order = ("alone", "duo", "talk", "crowd", "launch")
    sort = sorted(chosen, key=lambda cell: (order.index(cell.scenario.kind), shared(cell)))
    return [list(group) for _, group in groupby(sort, key=shared)]
