# SPDX-License-Identifier: MIT
"""Measures one cell in pairs of batches, the stdlib's and mpfast's, one right after the other."""

from __future__ import annotations

import os
from contextlib import ExitStack
from time import monotonic

from ..base.deadline import Limits
from ..base.impls import BASE, OURS, SIDES, check_origins, contexts
from ..base.placement import pinned
from ..kinds.scenario import Cell, Scenario, Side
from ..suites.plan import Budget
from .results import Measured


def measure(cell: Cell, budget: Budget, limits: Limits, same: bool = False) -> Measured:
    """Measure a cell in this process, which gets no other processes to keep than the stdlib's servers.

    Raises CellError or Skipped.
    """
    place = cell.scenario.place(cell.placement, frozenset(os.sched_getaffinity(0)))
    with pinned(place.own), ExitStack() as stack:
        sides: dict[str, Side] = {}
        seen: dict[str, list[str]] = {}
        rival = cell.scenario.rival
        for name, context in contexts(cell.method, same, rival).items():
            sides[name] = stack.enter_context(cell.scenario.open(context, place, limits))
            seen[name] = sides[name].origins()
            check_origins(name, seen[name], same, rival)
        counts = {name: calibrate(cell.scenario, side) for name, side in sides.items()}
        pairs = paired(cell.scenario, sides, counts, budget)
    return Measured(pairs, counts, seen, cell.scenario.floor(place, cell.method))


def calibrate(scenario: Scenario, side: Side) -> int:
    """How many operations make a batch of the wanted length. Warms up on the way."""
    if scenario.batch_seconds is None:
        return 1
    wanted = scenario.batch_seconds * 1e9
    count = scenario.first_batch
    while (took := side.batch(count)) < wanted / 4:
        count *= 4
    return max(1, round(count * wanted / took))


def paired(
    scenario: Scenario, sides: dict[str, Side], counts: dict[str, int], budget: Budget
) -> list[tuple[float, float]]:
    """Nanoseconds per operation of both sides. They take turns, so that a slow moment of the machine slows both."""
    pairs: list[tuple[float, float]] = []
    end = monotonic() + budget.seconds
    while len(pairs) < budget.least or (len(pairs) < budget.most and monotonic() < end):
        order = SIDES if len(pairs) % 2 == 0 else tuple(reversed(SIDES))
        took = {name: sides[name].batch(counts[name]) / counts[name] / scenario.units for name in order}
        pairs.append((took[BASE], took[OURS]))
    return pairs
