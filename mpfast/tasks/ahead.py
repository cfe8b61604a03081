# SPDX-License-Identifier: MIT
"""What an executor's map() does with a buffersize. The caller's thread reads the input, as in concurrent.futures."""

from __future__ import annotations

import time
import weakref
from collections import deque
from itertools import islice

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

__all__ = ["Ahead", "map_ahead"]


def run_chunk(function: Callable[..., Any], star: bool, chunk: tuple[Any, ...]) -> list[Any]:
    """A call for several elements."""
    return [function(*element) for element in chunk] if star else [function(element) for element in chunk]


class Ahead:
    """Submits a call for each chunk of the input. submit() raises what reading and Executor.submit() raise."""

    def __init__(self, executor: Any, function: Callable[..., Any], elements: Any, star: bool, chunksize: int) -> None:
        self.executor = weakref.ref(executor)  # results that nobody takes do not keep it
        self.function, self.star, self.chunksize = function, star, chunksize
        self.elements: Iterator[Any] = iter(elements)

    def submit(self) -> Any:
        """The next call's future. None: there is nothing left to read."""
        executor: Any = self.executor()
        chunk = () if executor is None else tuple(islice(self.elements, self.chunksize))
        if not chunk:
            return None
        if self.chunksize > 1:
            return executor.submit(run_chunk, self.function, self.star, chunk)
        return executor.submit(self.function, *(chunk[0] if self.star else chunk))


def map_ahead(ahead: Ahead, buffersize: int, deadline: float | None) -> Iterator[Any]:
    """Submits `buffersize` calls now, and another one whenever a result is asked for."""
    futures: deque[Any] = deque()
    while len(futures) < buffersize and (future := ahead.submit()) is not None:
        futures.append(future)
    del future
    return _results(ahead, futures, deadline)


def _results(ahead: Ahead, futures: deque[Any], deadline: float | None) -> Iterator[Any]:
    try:
        while futures:
            more = ahead.submit()
            if more is not None:
                futures.append(more)
            results = _result_of(futures.popleft(), deadline)
            if ahead.chunksize == 1:
                yield results
                continue
            results.reverse()
            while results:
                yield results.pop()
    finally:
        for future in futures:
            future.cancel()


def _result_of(future: Any, deadline: float | None) -> Any:
    try:
        try:
            return future.result(None if deadline is None else max(0.0, deadline - time.monotonic()))
        finally:
            future.cancel()
    finally:
        del future  # an exception refers to this frame
