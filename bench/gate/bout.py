# SPDX-License-Identifier: MIT
"""The process that measures one build for the gate. It keeps a cell open and does batches of it when told to.

Two of these, one for each build, are asked in turns. Jobs and answers are lines of JSON, as in worker.py.
"""

from __future__ import annotations

import os
import traceback
from contextlib import ExitStack
from typing import Any

from ..base.deadline import Limits
from ..base.errors import CellError, Skipped, WrongClass
from ..base.impls import OURS, check_origins
from ..base.placement import pinned
from ..kinds.scenario import Side
from ..measure.pairs import calibrate
from ..measure.worker import serve
from ..suites.plan import find


class Lacking(Exception):
    """This build does not have what the cell measures. It may be older than that."""


class Bout:
    """The cell that is open, if any."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._side: Side | None = None

    def answer(self, job: dict[str, Any]) -> dict[str, Any]:
        try:
            value = getattr(self, job.pop("do"))(**job)
        except Skipped as reason:
            return {"status": "skipped", "reason": str(reason), "measured": None}
        except Lacking as reason:
            return {"status": "lacking", "reason": str(reason), "measured": None}
        except Exception as error:
            detail = "" if isinstance(error, CellError) else f"\n{traceback.format_exc()}"
            return {"status": "failed", "reason": f"{error or type(error).__name__}{detail}", "measured": None}
        return {"status": "ok", "reason": "", "measured": value}

    def open(self, cell: str, limits: dict[str, float]) -> int:
        """Returns how many operations make a batch."""
        import mpfast

        check_build(mpfast.__file__)
        found = find(cell)
        place = found.scenario.place(found.placement, frozenset(os.sched_getaffinity(0)))
        self._stack.enter_context(pinned(place.own))
        context = mpfast.get_context(found.method)
        try:
            self._side = self._stack.enter_context(found.scenario.open(context, place, Limits(**limits)))
            check_origins(OURS, self._side.origins())
        except (AttributeError, ImportError, TypeError, WrongClass) as error:
            raise Lacking(f"{type(error).__name__}: {error}") from error
        return calibrate(found.scenario, self._side)

    def batch(self, count: int) -> float:
        """The nanoseconds of so many operations."""
        assert self._side
        return self._side.batch(count)

    def close(self) -> None:
        self._side = None
        self._stack.close()


def check_build(file: str) -> None:
    expected = os.environ["MPFAST_BENCH_LIB"]
    if not file.startswith(expected + os.sep):
        raise CellError(f"mpfast came from {file}, not from {expected}")


def main(_arguments: list[str] | None = None) -> None:
    serve(Bout().answer)
