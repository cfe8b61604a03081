# SPDX-License-Identifier: MIT
"""Deadlines for code that may block anywhere. An alarm interrupts the wait with an exception."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

from .errors import CellError


class DeadlineError(CellError):
    """The block did not end in time."""


@dataclass(frozen=True)
class Limits:
    """How long, in seconds, a process may take before the cell is given up."""

    batch: float = 10.0
    child: float = 20.0  # from start() to a child's first word, and from its last word to its end
    cell: float = 60.0  # kept by the parent of the process that measures, whatever that one is doing


@contextmanager
def deadline(seconds: float, what: str) -> Iterator[None]:
    """Raise DeadlineError in this block, which must run in the main thread, if it takes longer."""

    def ring(_signal: int, _frame: FrameType | None) -> None:
        raise DeadlineError(f"{what} did not end within {seconds:g} s")

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
