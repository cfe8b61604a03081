# SPDX-License-Identifier: MIT
"""`run.py operations CELL COUNT` does so many operations of a cell and ends. guard.py counts what they take."""

import mpfast

from ..base.deadline import Limits
from ..base.placement import Place
from ..suites.plan import find
from .bout import check_build

WARM_UP = 100


def main(arguments: list[str]) -> None:
    key, count = arguments
    check_build(mpfast.__file__)
    cell = find(key)
    everywhere = Place(frozenset(), frozenset())
    with cell.scenario.open(mpfast.get_context(cell.method), everywhere, Limits(batch=100)) as side:
        side.batch(WARM_UP)
        side.batch(int(count))
