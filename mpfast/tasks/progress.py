# SPDX-License-Identifier: MIT
"""progress=: tells a program how many elements of a map have an outcome.

A map does not call for each element, which would take longer than most elements. The thread that waits for the map
looks ten times a second how far it has got. If no thread has to wait, as with map_async(), there is one for that.
"""

from __future__ import annotations

import sys
import threading
import time
from typing import Any

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["PERIOD", "Background", "Progress"]

PERIOD = 0.1  # seconds between two calls


class Bar:
    """A bar of tqdm's."""

    def __init__(self, total: int | None) -> None:
        try:
            from tqdm.auto import tqdm  # type: ignore[import-not-found,import-untyped,unused-ignore]
        except ImportError:
            raise ImportError(
                "progress=True shows a bar of tqdm's, and tqdm is not installed. Install it, or give a function"
            ) from None
        self.bar: Any = tqdm(total=total)

    def __call__(self, done: int, total: int | None) -> None:
        self.bar.total = total
        self.bar.update(done - self.bar.n)

    def close(self) -> None:
        self.bar.close()


class Progress:
    """Progress(call, total): calls call(done, total) when told that more is done, or shows a bar if `call` is True.

    total: how many elements there are, None if that is not known yet.
    """

    def __init__(self, call: Any, total: int | None) -> None:
        if call is not True and not callable(call):
            raise TypeError(f"progress must be True or a function of two arguments, done and total, not {call!r}")
        self.total = total
        self.done = -1
        self.at = 0.0  # when it was told last
        self.bar = Bar(total) if call is True else None
        self.call: Callable[[int, int | None], object] = self.bar or call

    @classmethod
    def of(cls, call: Any, iterable: Any) -> Progress | None:
        """For an input that may have no length. None: nobody wants to know."""
        if call is None or call is False:
            return None
        return cls(call, len(iterable) if hasattr(iterable, "__len__") else None)

    def tell(self, done: int) -> None:
        """Calls if that is more than before."""
        self.at = time.monotonic()
        if done > self.done:
            self.done = done
            self.call(done, self.total)

    def of_stream(self, job: Any, last: bool) -> None:
        """A result of the stream was taken, or a while has passed."""
        if last or time.monotonic() - self.at >= PERIOD:
            if job.total is not None:
                self.total = job.total
            self.tell(job.done)
        if last:
            self.end()

    def take(self, job: Any, deadline: int) -> Any:
        """The next result of a stream, as its take_found() has it. Calls meanwhile."""
        while True:
            soon = min(deadline, time.monotonic_ns() + int(PERIOD * 1e9))
            found = job.take_found(soon)
            self.of_stream(job, found is None and job.is_at_end())
            if found is not None or job.is_at_end() or soon == deadline:
                return found

    def follow(self, job: Any) -> None:
        """Calls until the job is over. If a call raises, the job is cancelled."""
        try:
            while not job.ready():
                self.tell_or_cancel(job)
                job.wait(PERIOD)
            self.tell_or_cancel(job)
        finally:
            self.end()

    def tell_or_cancel(self, job: Any) -> None:
        try:
            self.tell(job.done)
        except BaseException:
            job.cancel()
            raise

    def end(self) -> None:
        """There are no calls any more."""
        if self.bar is not None:
            self.bar.close()


class Background(threading.Thread):
    """Calls for a job for which no thread waits. The last call comes before the job's callback, and before its end."""

    def __init__(self, progress: Progress) -> None:
        super().__init__(name="mpfast-progress", daemon=True)
        self.progress = progress
        self.job: Any = None
        self.lock = threading.Lock()
        self.over = threading.Event()

    def callback(self, call: Any) -> Callable[[Any], None]:
        """What the job has to call at its end in place of this callback."""

        def finish(value: Any) -> None:
            self.finish()
            if call is not None:
                call(value)

        return finish

    def follow(self, job: Any) -> None:
        self.job = job
        if not self.over.is_set():
            self.start()

    def run(self) -> None:
        job = self.job
        while not self.over.wait(PERIOD) and not job.is_lost():
            with self.lock:
                if not self.over.is_set():
                    self.tell(job.done)
        self.job = None

    def tell(self, done: int) -> None:
        try:
            self.progress.tell(done)
        except BaseException:  # it is nobody's error but the function's
            self.progress.call = ignore
            threading.excepthook(threading.ExceptHookArgs((*sys.exc_info(), self)))

    def finish(self) -> None:
        with self.lock:
            if not self.over.is_set():
                self.over.set()
                if self.progress.total is not None:
                    self.tell(self.progress.total)
                self.progress.end()


def ignore(done: int, total: int | None) -> None:
    """What is called in place of a function that has raised."""
