# SPDX-License-Identifier: MIT
"""Waiting for a queue in an event loop, without a thread: Queue.aget() and aput().

The loop watches a descriptor that becomes readable when another process changes the queue (core/queue/bell.h). A task
that is woken tries. If it succeeds and there is more to be had, it wakes the next one. So does a task that is cancelled
right then.
"""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import suppress
from queue import Empty, Full
from weakref import WeakKeyDictionary

TYPE_CHECKING = False  # typing costs each spawned child 2 ms
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

BACKSTOP = 1.0  # seconds after which a waiter tries again by itself, as its waker may have been killed
POLL = 0.1  # the same if there is a process that cannot wake it


class Hub:
    """The coroutines of one event loop that wait for one queue."""

    def __init__(self, queue: Any) -> None:
        self.bell = queue._bell()
        self.hubs = queue._hubs
        self.getters: deque[asyncio.Future[None]] = deque()
        self.putters: deque[asyncio.Future[None]] = deque()

    def line(self, getting: bool) -> deque[asyncio.Future[None]]:
        return self.getters if getting else self.putters

    def rung(self) -> None:
        """The loop's callback. It wakes the other loops of this process too, as they share the descriptor."""
        self.bell.silence()
        self.wake_up()
        for loop, hub in list(self.hubs.items()):
            if hub is not self:
                with suppress(RuntimeError):  # the loop is closed, perhaps since a moment ago
                    loop.call_soon_threadsafe(hub.wake_up)

    def wake_up(self) -> None:
        wake_first(self.getters)
        wake_first(self.putters)

    def pass_on(self, getting: bool) -> None:
        """One has been served or gives up. Is there something for the next one?"""
        if self.line(getting) and self.bell.arm(getting):
            wake_first(self.line(getting))

    async def wait(self, getting: bool) -> None:
        """Waits until an attempt may succeed."""
        loop = asyncio.get_running_loop()
        future = loop.create_future()
        if not self.getters and not self.putters:
            loop.add_reader(self.bell.fileno(), self.rung)
        self.line(getting).append(future)
        timer = loop.call_later(POLL if self.bell.unheard() else BACKSTOP, wake, future)
        try:
            if not self.bell.arm(getting):
                await future
        except asyncio.CancelledError:
            if future.done() and not future.cancelled():
                self.pass_on(getting)
            raise
        finally:
            timer.cancel()
            self.leave(loop, future, getting)

    def leave(self, loop: asyncio.AbstractEventLoop, future: asyncio.Future[None], getting: bool) -> None:
        if future in self.line(getting):
            self.line(getting).remove(future)
        if not self.getters and not self.putters:
            loop.remove_reader(self.bell.fileno())


def wake(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def wake_first(line: deque[asyncio.Future[None]]) -> None:
    while line:
        future = line.popleft()
        if not future.done():
            future.set_result(None)
            return


async def until(queue: Any, attempt: Callable[..., Any], args: tuple[Any, ...], getting: bool) -> Any:
    """Attempts until it is not refused, and waits in between."""
    refused = Empty if getting else Full
    try:
        return attempt(*args)
    except refused:
        hubs = queue._hubs
        loop = asyncio.get_running_loop()
        if loop not in hubs:
            hubs[loop] = Hub(queue)
    hub = hubs[loop]
    while True:
        await hub.wait(getting)
        try:
            result = attempt(*args)
        except refused:
            continue
        except BaseException:
            hub.pass_on(getting)
            raise
        hub.pass_on(getting)
        return result


def new_hubs() -> WeakKeyDictionary[asyncio.AbstractEventLoop, Hub]:
    """The hubs of a queue, by loop. A loop that is gone takes its descriptor with it."""
    return WeakKeyDictionary()
