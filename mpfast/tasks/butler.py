# SPDX-License-Identifier: MIT
"""The threads that a pool may have. They refer to the desk and never to the pool, so that a pool can be collected."""

from __future__ import annotations

import sys
import threading

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

__all__ = ["Butler", "Feeder"]


class Butler(threading.Thread):
    """Drains when no caller does, runs callbacks, and sees to it that dead workers are replaced."""

    def __init__(self, desk: Any) -> None:
        super().__init__(name="mpfast-pool", daemon=True)
        self.desk = desk

    def run(self) -> None:
        desk = self.desk
        if not desk.take_on(self):
            return
        while True:
            try:
                if not desk.butler_turn():
                    break
            except BaseException:  # what a callback raises must not end the thread that the other callbacks need
                threading.excepthook(threading.ExceptHookArgs((*sys.exc_info(), self)))
        self.desk = None
        if desk.crew.on_end is not None:
            desk.crew.on_end()


class Feeder(threading.Thread):
    """Reads an input that may take its time, for one iterator of results."""

    AHEAD = 1024  # elements without an outcome

    def __init__(self, job: Any, iterable: Iterable[Any]) -> None:
        super().__init__(name="mpfast-feeder", daemon=True)
        self.job = job
        self.iterable: Any = iterable

    def run(self) -> None:
        job, iterable = self.job, self.iterable
        self.iterable = None
        try:
            iterator = iter(iterable)
            while job.wait_for_room(self.AHEAD):
                try:
                    element = next(iterator)
                except StopIteration:
                    return
                job.add(element)
        except BaseException as error:
            job.add_error(error)
        finally:
            job.end_of_input()
            self.job = None
