# SPDX-License-Identifier: MIT
"""Pools in an event loop: Pool.aapply(), amap() and aimap().

A loop that waits for a pool watches the bell of the results, and a descriptor that says that a worker has ended. No
thread is needed. Threads of the program may wait for the same pool at the same time. The thread or loop that comes
first delivers everything, and a coroutine is told in its loop when its task is over, by whatever thread. So a loop
never has to be the one that hears the bell. While a thread drains, the loop does not even watch, and looks again when
that thread has laid the draining down.

The pool's own thread stands in where a loop that is busy with other things would keep the workers idle. It takes part
in amap() and aimap(), as in map_async() and imap(), and it sees to time limits.
"""

from __future__ import annotations

import asyncio
import os
from contextlib import suppress
from weakref import ref

from . import loops as _steps
from .calls import call
from .limits import check_limits
from .loops import GONE, LATER, Told, is_over, is_satisfied, soon
from .maps import map_elements
from .progress import PERIOD, Progress
from .streams import SKIPPED, stream

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any

__all__ = ["AsyncResults", "Watcher", "apply", "map_all"]


class Watcher:
    """The coroutines of one event loop that wait for one pool. All but poke() is called in the loop's thread."""

    def __init__(self, desk: Any, loop: asyncio.AbstractEventLoop) -> None:
        self.desk = desk
        self.loop = ref(loop)  # a loop that is dropped is not to be kept by the pool
        self.waiting: set[Told] = set()
        self.fd = -1  # of the loop's own, since the pool may close its own at any time
        self.watching = self.resting = self.poked = False
        self.deferred = False  # it wants to be told when the draining is free
        self.timer: asyncio.TimerHandle | None = None

    def add(self, teller: Told) -> None:
        self.waiting.add(teller)
        if self.fd < 0:
            self.fd = os.dup(_steps.watched(self.desk))
            _steps.enter(self.desk, self)
            self.look()

    def remove(self, loop: asyncio.AbstractEventLoop, teller: Told) -> None:
        self.waiting.discard(teller)
        if not self.waiting and not self.resting:
            self.resting = True
            try:
                loop.call_soon(self.rest)  # the next call may come at once, and then nothing has changed
            except RuntimeError:  # the loop is closed
                self.watching = False
                self.rest()

    def poke(self) -> None:
        """A thread has laid the draining down. Called in any thread."""
        loop = self.loop()
        if self.poked:
            return
        self.poked = True
        try:
            if loop is not None:
                loop.call_soon_threadsafe(self.look)
                return
        except RuntimeError:
            pass  # the loop is closed, perhaps since a moment ago
        self.drop()

    def is_closed(self) -> bool:
        loop = self.loop()
        return loop is None or loop.is_closed()

    def drop(self) -> None:
        """The loop was closed in the middle. What it left is for the collector, which ends the coroutines."""
        _steps.leave(self.desk, self)
        for teller in list(self.waiting):
            teller.drop()
        self.waiting.clear()
        self.close()

    def look(self) -> None:
        """The bell has rung, or the draining is free."""
        self.poked = False
        loop = self.loop()
        if self.fd < 0 or loop is None or self.desk.is_foreign():
            return
        if not self.waiting:
            self.rest()
            return
        delay = _steps.look(self.desk, self)
        self.watch(loop, delay not in (LATER, GONE))
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None
        if delay == GONE:
            for teller in list(self.waiting):
                teller.tell()
        elif delay != LATER and delay is not None:
            self.timer = loop.call_later(delay, self.look)

    def watch(self, loop: asyncio.AbstractEventLoop, wanted: bool) -> None:
        """While a thread drains, the descriptor may be readable all the time."""
        if wanted != self.watching:
            self.watching = wanted
            if wanted:
                loop.add_reader(self.fd, self.look)
            else:
                loop.remove_reader(self.fd)

    def rest(self) -> None:
        """No coroutine waits any more."""
        self.resting = False
        loop = self.loop()
        if self.waiting or self.fd < 0:
            return
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None
        _steps.leave(self.desk, self)
        if not self.desk.is_foreign() and loop is not None:  # in a forked child the loop's list is the parent's
            self.watch(loop, False)
        self.close()

    def close(self) -> None:
        fd, self.fd = self.fd, -1
        if fd >= 0:
            with suppress(OSError):
                os.close(fd)

    __del__ = close


def watcher(desk: Any, loop: asyncio.AbstractEventLoop) -> Watcher:
    return _steps.find(desk, loop) or Watcher(desk, loop)


async def told(desk: Any, job: Any, timeout: float | None = None) -> None:
    """Waits until the job has got on, at most so many seconds."""
    loop = asyncio.get_running_loop()
    place = watcher(desk, loop)
    if not place.waiting and soon(desk, job):
        return  # most short tasks come here, and cost the loop nothing
    future = loop.create_future()
    teller = Told(loop, future)
    teller.wait_for(job)
    try:
        place.add(teller)
        if not is_satisfied(job):
            await (future if timeout is None else asyncio.wait([future], timeout=timeout))
    finally:
        teller.leave(job)
        place.remove(loop, teller)
    if desk.stopped and not is_satisfied(job):
        raise RuntimeError("the pool was terminated before the task had ended")


async def over(desk: Any, job: Any, progress: Progress | None = None) -> None:
    """Waits until the job is over, and cancels it if the coroutine is cancelled."""
    try:
        while not is_over(job):
            await told(desk, job, None if progress is None else PERIOD)
            if progress is not None:
                progress.tell(job.done)
    except BaseException:
        give_up(desk, job)
        raise


def give_up(desk: Any, job: Any) -> None:
    """Nobody wants the job any more. In a forked child it is the parent's."""
    if not desk.stopped and not desk.is_foreign():
        job.cancel()


async def apply(
    desk: Any,
    func: Any,
    args: Iterable[Any],
    kwds: Mapping[str, Any],
    timeout: float | None,
    retries: int | None,
    priority: int | None,
) -> Any:
    check_limits(timeout, retries)
    while desk.places is not None and desk.places.must_wait():
        await told(desk, desk.places)
    keeper = desk if _steps.limited(desk, timeout) else None
    job = call(desk, func, args, kwds, None, None, keeper, timeout, retries, priority)
    await over(desk, job)
    return job.get()


async def map_all(
    desk: Any,
    func: Any,
    elements: Any,
    chunksize: int | None,
    timeout: float | None,
    retries: int | None,
    progress: Any,
    star: bool = False,
) -> list[Any]:
    if type(elements) not in (list, tuple, range):
        elements = list(elements)
    teller = Progress.of(progress, elements)
    job = map_elements(desk, func, elements, chunksize, star, None, None, True, timeout, retries)
    try:
        await over(desk, job, teller)
    finally:
        if teller is not None:
            teller.end()
    return job.get()  # type: ignore[no-any-return]


class AsyncResults:
    """What aimap() and aimap_unordered() return, an asynchronous iterator over results, for one coroutine at a time.

    An exception of a task is raised in its place, and the next step goes on behind it. If a coroutine is cancelled
    while it waits for a result, what is left is not run, and workers that run a part of it are killed. After aclose(),
    or when the iterator is dropped, what was not dealt is not run.
    """

    def __init__(
        self,
        pool: Any,
        func: Any,
        iterable: Iterable[Any],
        chunksize: int,
        room: int | None,
        timeout: float | None,
        retries: int | None,
        progress: Any,
        unordered: bool = False,
    ) -> None:
        self._desk = pool._desk
        self._progress = Progress.of(progress, iterable)
        self._job = stream(self._desk, func, iterable, chunksize, unordered, False, room, timeout, retries)
        self._job.keep(pool)

    def __aiter__(self) -> AsyncResults:
        return self

    async def __anext__(self) -> Any:
        while True:
            found = _steps.take_now(self._job)
            if self._progress is not None:
                self._progress.of_stream(self._job, found is None and is_over(self._job))
            if found is None:
                if is_over(self._job):
                    raise StopAsyncIteration
                await self._wait()
            elif found[0]:
                raise found[1]
            elif found[1] is not SKIPPED:
                return found[1]

    async def _wait(self) -> None:
        try:
            await told(self._desk, self._job, None if self._progress is None else PERIOD)
        except asyncio.CancelledError:
            if not self._desk.is_foreign():
                self._job.drop()
            raise

    async def aclose(self) -> None:
        """Nobody wants the rest of the results. It does not block."""
        self._close()

    def _close(self) -> None:
        job, desk = self.__dict__.get("_job"), self._desk
        if job is not None and not desk.is_foreign():
            job.abandon()
        if self._progress is not None:
            self._progress.end()

    def __del__(self) -> None:
        if "_job" in self.__dict__:
            self._close()
