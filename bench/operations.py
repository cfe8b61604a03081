# SPDX-License-Identifier: MIT
"""Does so many operations of a cell, and ends: `operations.py CELL COUNT`. For whoever counts what they take."""

import os
import sys

if not __package__:  # run as a script: its own folder is no place to import from
    sys.path[0:1] = []
    sys.path.append(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import mpfast
from bench.bout import check_build
from bench.deadline import Limits
from bench.placement import Place
from bench.plan import find

WARM_UP = 100


def main(key: str, count: int) -> None:
    check_build(mpfast.__file__)
    cell = find(key)
    everywhere = Place(frozenset(), frozenset())
    with cell.scenario.open(mpfast.get_context(cell.method), everywhere, Limits(batch=100)) as side:
        side.batch(WARM_UP)
        side.batch(count)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
