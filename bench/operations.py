# SPDX-License-Identifier: MIT
"""Does so many operations of a cell, and ends: `run.py operations CELL COUNT`. For whoever counts what they take."""

import mpfast
from bench.bout import check_build
from bench.deadline import Limits
from bench.placement import Place
from bench.plan import find

WARM_UP = 100


def main(arguments: list[str]) -> None:
    key, count = arguments
    check_build(mpfast.__file__)
    cell = find(key)
    everywhere = Place(frozenset(), frozenset())
    with cell.scenario.open(mpfast.get_context(cell.method), everywhere, Limits(batch=100)) as side:
        side.batch(WARM_UP)
        side.batch(int(count))
