# SPDX-License-Identifier: MIT
"""A line that says how far a run is. A terminal rewrites it in place, anything else gets a line now and then."""

from __future__ import annotations

from time import monotonic
from typing import TextIO

SPARSE_SECONDS = 15.0


class Countdown:
    """So many steps, which may differ in what they cost. `expected`: the cost is the seconds that they should take."""

    def __init__(self, steps: int, stream: TextIO, cost: float | None = None, expected: bool = False) -> None:
        self._stream, self._steps, self._expected = stream, steps, expected
        self._cost = float(steps) if cost is None else cost
        self._live = stream.isatty()
        self._done, self._done_cost = 0, 0.0
        self._begin = self._shown = monotonic()
        self._show(0, "starting", 0.0)

    def step(self, what: str, cost: float = 1.0) -> None:
        """A step is done."""
        self._done += 1
        self._done_cost += cost
        self._show_now_and_then(self._done, what, self._done_cost)

    def part(self, what: str, cost: float) -> None:
        """Of the step that is under way so much is done."""
        self._show_now_and_then(self._done + 1, what, self._done_cost + cost)

    def _show_now_and_then(self, number: int, what: str, done_cost: float) -> None:
        if self._live or monotonic() - self._shown >= SPARSE_SECONDS:
            self._show(number, what, done_cost)

    def _show(self, number: int, what: str, done_cost: float) -> None:
        self._shown = monotonic()
        text = f"[{number}/{self._steps}] {self._left(done_cost)}{what}"
        self._stream.write(f"\r\x1b[K{text}" if self._live else f"{text}\n")
        self._stream.flush()

    def _left(self, done_cost: float) -> str:
        """The plan's estimate, corrected by how the run has kept to it since its first step was done."""
        left = self._cost - done_cost
        if self._done:
            left *= (monotonic() - self._begin) / done_cost
        elif not self._expected:
            return ""
        return f"{int(left) // 60}:{int(left) % 60:02} left: "

    def close(self) -> None:
        if self._live:
            self._stream.write("\r\x1b[K")
            self._stream.flush()
