# SPDX-License-Identifier: MIT
"""Sizing: how many workers a crew is to have, now and while there is nothing to do."""

from __future__ import annotations

import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .crew import Crew

__all__ = ["Sizing"]


class Sizing:
    """`most` workers when there are jobs, `now` at this time. `due`: when tend() wants to be called, 0.0 for never."""

    def __init__(self, crew: Crew, size: int) -> None:
        self.crew = crew
        self.most = self.now = self.least = size
        self.timeout: float | None = None
        self.due = 0.0

    def shrink(self, least: int, timeout: float) -> None:
        """From now on, so many workers stay when there was no job for `timeout` seconds."""
        self.least, self.timeout = least, timeout
        self.due = time.monotonic() + timeout
        self.crew.desk.watch_idleness()
        self.crew.desk.need_butler()

    def set(self, size: int) -> None:
        """From now on the crew has so many workers when there are jobs."""
        self.most = size
        self.adjust(size)
        if self.timeout is not None:
            self.due = time.monotonic() + self.timeout

    def adjust(self, size: int) -> None:
        """Those that are too many go when they have nothing to do. Those that are missing are started."""
        crew = self.crew
        self.now = size
        if self.timeout is not None:
            crew.desk.shrunk = size < self.most
        staying = [number for number in sorted(crew.numbers) if number not in crew.leaving]
        for number in staying[size:]:
            crew.leaving.add(number)
            crew.desk.dismiss(number)
        crew.retry()

    def grow(self) -> None:
        """There is a job again."""
        assert self.timeout is not None
        desk = self.crew.desk  # another thread may terminate the pool, and take it from there
        self.due = time.monotonic() + self.timeout
        self.adjust(self.most)
        desk.stir()

    def tend(self) -> None:
        """Lets workers go, if there was nothing to do for long enough."""
        assert self.timeout is not None
        idle = self.crew.desk.idle_seconds()
        if idle < self.timeout:
            self.due = time.monotonic() + self.timeout - idle
            return
        self.due = 0.0
        self.adjust(min(self.least, self.most))
