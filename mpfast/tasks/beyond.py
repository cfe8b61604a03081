# SPDX-License-Identifier: MIT
"""What a Pool has beyond multiprocessing's: calls in an event loop, and statistics."""

from __future__ import annotations

import sys
from typing import Any

from .given import ahead, whole
from .hooks import needs_ours

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from .aio import AsyncResults
    from .stats import PoolStats

__all__ = ["Beyond", "room_of"]


def _module(name: str) -> Any:
    """A module of this room, loaded by the first call that needs it."""
    name = f"{__package__}.{name}"
    __import__(name)
    return sys.modules[name]


def room_of(chunksize: int, buffersize: int | None) -> int | None:
    """How many elements may be ahead. Raises as multiprocessing's imap() does."""
    if whole("chunksize", chunksize) < 1:
        raise ValueError(f"Chunksize must be 1+, not {chunksize:n}")
    tasks = ahead(buffersize)
    return None if tasks is None else tasks * chunksize


class Beyond:
    """The methods that a Pool has from here. They need mpfast's engine."""

    _desk: Any = None

    def _check_running(self) -> None:
        raise NotImplementedError

    def _own_desk(self, name: str) -> Any:
        if self._desk is None:
            raise needs_ours(f"{name}()")
        self._check_running()
        return self._desk

    async def aapply(
        self,
        func: Callable[..., Any],
        args: Iterable[Any] = (),
        kwds: Mapping[str, Any] = {},
        *,
        timeout: float | None = None,
        retries: int | None = None,
        priority: int | None = None,
    ) -> Any:
        """Calls func(*args, **kwds) in a worker, and returns the result. The event loop goes on meanwhile.

        If the coroutine is cancelled, the call is. A call that waits is never run, and the worker of one that runs is
        killed. Another one takes its place. The loops of several threads may use a pool at the same time.
        """
        desk = self._own_desk("aapply")
        return await _module("aio").apply(desk, func, args, kwds, timeout, retries, priority)

    async def amap(
        self,
        func: Callable[[Any], Any],
        iterable: Iterable[Any],
        chunksize: int | None = None,
        *,
        timeout: float | None = None,
        retries: int | None = None,
        progress: Callable[[int, int], object] | bool | None = None,
    ) -> list[Any]:
        """Calls func for each element, and returns the list of results, or raises the first exception.

        Cancelling the coroutine cancels all elements, as aapply() has it.
        """
        desk = self._own_desk("amap")
        return await _module("aio").map_all(  # type: ignore[no-any-return]
            desk, func, iterable, chunksize, timeout, retries, progress
        )

    async def astarmap(
        self,
        func: Callable[..., Any],
        iterable: Iterable[Iterable[Any]],
        chunksize: int | None = None,
        *,
        timeout: float | None = None,
        retries: int | None = None,
        progress: Callable[[int, int], object] | bool | None = None,
    ) -> list[Any]:
        """As amap(), but calls func(*element) for each element."""
        desk = self._own_desk("astarmap")
        return await _module("aio").map_all(  # type: ignore[no-any-return]
            desk, func, iterable, chunksize, timeout, retries, progress, star=True
        )

    def aimap(
        self,
        func: Callable[[Any], Any],
        iterable: Iterable[Any],
        chunksize: int = 1,
        *,
        buffersize: int | None = None,
        timeout: float | None = None,
        retries: int | None = None,
        progress: Callable[[int, int | None], object] | bool | None = None,
    ) -> AsyncResults:
        """Returns an asynchronous iterator over the results, in order. It deals at once, as imap() does.

        If a coroutine is cancelled while it waits for a result, all elements without one are.
        """
        return self._deal_async("aimap", func, iterable, chunksize, buffersize, timeout, retries, progress)

    def aimap_unordered(
        self,
        func: Callable[[Any], Any],
        iterable: Iterable[Any],
        chunksize: int = 1,
        *,
        buffersize: int | None = None,
        timeout: float | None = None,
        retries: int | None = None,
        progress: Callable[[int, int | None], object] | bool | None = None,
    ) -> AsyncResults:
        """As aimap(), but in the order in which results come."""
        return self._deal_async("aimap_unordered", func, iterable, chunksize, buffersize, timeout, retries, progress)

    def _deal_async(
        self,
        name: str,
        func: Any,
        iterable: Any,
        chunksize: int,
        buffersize: int | None,
        timeout: float | None,
        retries: int | None,
        progress: Any,
    ) -> AsyncResults:
        self._own_desk(name)
        room, unordered = room_of(chunksize, buffersize), name == "aimap_unordered"
        made: AsyncResults = _module("aio").AsyncResults(
            self, func, iterable, chunksize, room, timeout, retries, progress, unordered
        )
        return made

    def stats(self) -> PoolStats:
        """Says what waits, what runs and what is done, for the pool and for each worker. It does not block."""
        if self._desk is None:
            raise needs_ours("stats()")
        if self._desk.is_foreign():
            self._desk.refuse()
        return _module("stats").of_pool(self._desk)  # type: ignore[no-any-return]
