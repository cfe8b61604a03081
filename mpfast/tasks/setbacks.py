# SPDX-License-Identifier: MIT
"""Setbacks: starts of workers that came to nothing. They say when the next one is tried, and when to give up."""

from __future__ import annotations

import time
import traceback

from .errors import BrokenPool

__all__ = ["Setbacks"]

FIRST = 0.05  # seconds until a start is tried again, doubled each time
LAST = 2.0
REFUSALS = 3  # starts in a row that the system may refuse while there is no worker
STILLBORN = 3  # workers in a row that may end before they can run tasks. As many as the pool has, if that is more


class Setbacks:
    def __init__(self) -> None:
        self.failed = 0  # starts in a row that came to nothing, while no worker could run tasks
        self.refusals = 0  # starts in a row that the system has refused
        self.stillborn = 0  # workers in a row that ended before they could run tasks
        self.wasted = 0  # workers in a row that could not take a task, while no outcome came from another one
        self.outcomes = 0  # that had come by then
        self.cause: BaseException | None = None
        self.delay = 0.0
        self.retry_at = 0.0

    def refuse(self, error: Exception, last: bool) -> bool:
        """The system has refused a start. True: there is no worker, and no use in trying on. last: there is none."""
        self.refusals += 1
        self.put_off()
        if not last or self.refusals < REFUSALS:
            return False
        self.failed += self.refusals
        self.cause = error
        return True

    def bury(self, why: str) -> None:
        """A worker has ended before it could run tasks."""
        self.failed += 1
        self.stillborn += 1
        self.cause = self.cause or RuntimeError(f"a worker {why} before it could run tasks")

    def waste(self, why: str, outcomes: int) -> None:
        """A worker has ended by itself, with an error, when it was to take its first task."""
        if outcomes != self.outcomes:
            self.wasted, self.outcomes = 0, outcomes
        self.wasted += 1
        self.stillborn += 1
        self.cause = self.cause or RuntimeError(f"a worker {why} when it was to take a task")

    def forget(self) -> None:
        """Workers can start. A worker that could run tasks has ended."""
        self.stillborn = self.wasted = 0
        self.others_run()

    def others_run(self) -> None:
        """There are workers that can run tasks, so the pool is not broken."""
        self.failed = 0
        if not self.wasted:
            self.cause = None

    def hopeless(self, size: int) -> bool:
        return max(self.failed, self.wasted) >= max(STILLBORN, size)

    def put_off(self) -> None:
        """The next start has to wait, longer each time."""
        self.delay = min(self.delay * 2 or FIRST, LAST)
        self.retry_at = time.monotonic() + self.delay

    def clear(self) -> None:
        """All workers were started."""
        self.retry_at = 0.0
        self.refusals = 0
        if self.stillborn < 2:
            self.delay = 0.0

    def error(self) -> BrokenPool:
        """The pool's error, now that no worker can be started."""
        reason = "".join(traceback.format_exception(self.cause)).rstrip()
        made = BrokenPool(f"{max(self.failed, self.wasted)} workers in a row could not start. The last one:\n{reason}")
        made.__cause__ = self.cause
        return made
