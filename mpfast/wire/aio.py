# SPDX-License-Identifier: MIT
"""Connections in an event loop, without a thread: Connection.arecv() and asend().

Each loop has a line of receivers and one of senders for a connection. The first in line tries, or has the loop watch
the descriptor. The descriptor's own O_NONBLOCK is not touched. Half a message stays with the connection. The next
receiver gets the rest of it, and the next sender sends the rest first.
"""

from __future__ import annotations

import asyncio
import os
from collections import deque
from contextlib import suppress
from weakref import WeakKeyDictionary

from . import receiving, sending

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_sending: set[asyncio.Task[None]] = set()  # sends without a waiter. The loop keeps only weak references to them


class Watch:
    """One wait in a loop until a connection can be read, or written."""

    def __init__(self, connection: Any, reading: bool) -> None:
        self.loop = asyncio.get_running_loop()
        self.connection, self.reading = connection, reading
        self.future = self.loop.create_future()
        self.pid = os.getpid()
        self.fd = connection._watch()

    def wake(self) -> None:
        if not self.future.done():
            self.future.set_result(None)

    def remove(self) -> None:
        """In a forked child there is nothing to do. The loop and its list of descriptors are the parent's."""
        fd, self.fd = self.fd, -1
        if fd >= 0 and self.pid == os.getpid():
            (self.loop.remove_reader if self.reading else self.loop.remove_writer)(fd)
            self.connection._unwatch()

    def closed(self) -> None:
        """Called when the connection is about to be closed, in whatever thread."""
        if self.pid != os.getpid():
            return
        try:
            here = asyncio.get_running_loop() is self.loop
        except RuntimeError:
            here = False
        if here or not self.loop.is_running():
            self.remove()
        if here:
            self.wake()
        else:
            with suppress(RuntimeError):  # the loop is closed, perhaps only just
                self.loop.call_soon_threadsafe(self.wake)

    async def over(self) -> None:
        watching = self.connection._watchers()
        watching.add(self)
        try:
            (self.loop.add_reader if self.reading else self.loop.add_writer)(self.fd, self.wake)
            await self.future
        finally:
            watching.discard(self)
            self.remove()


class Line:
    """The waiters in one loop, one after the other. asyncio.Lock would keep the loop alive."""

    def __init__(self) -> None:
        self.taken = False
        self.waiting: deque[asyncio.Future[None]] = deque()

    async def acquire(self) -> None:
        if self.taken:
            turn = asyncio.get_running_loop().create_future()
            self.waiting.append(turn)
            try:
                await turn
            except BaseException:
                if turn.done() and not turn.cancelled():
                    self.release()
                raise
            finally:
                self.waiting = deque(future for future in self.waiting if future is not turn)
        self.taken = True

    def release(self) -> None:
        """The turn goes straight to the next in line."""
        while self.waiting:
            turn = self.waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self.taken = False

    async def __aenter__(self) -> None:
        await self.acquire()

    async def __aexit__(self, *_: object) -> None:
        self.release()


def line(connection: Any, reading: bool) -> Line:
    """The line of the running loop."""
    by_loop = connection._lines_by_loop(WeakKeyDictionary)
    lines: tuple[Line, Line] | None = by_loop.get(loop := asyncio.get_running_loop())
    if lines is None:
        lines = by_loop[loop] = Line(), Line()
    return lines[reading]


async def receive(connection: Any) -> Any:
    async with line(connection, True):
        while (message := connection._pull()) is receiving.not_yet:
            await Watch(connection, True).over()
    return receiving.load(message)


async def finish(connection: Any, message: Any) -> None:
    while not connection._push(message):
        await Watch(connection, False).over()


async def send(connection: Any, obj: Any) -> None:
    message = connection._prepare(obj)
    lock = line(connection, False)
    await lock.acquire()
    try:
        if connection._push(message):
            lock.release()
            return
    except BaseException:
        lock.release()
        raise
    task = asyncio.ensure_future(finish(connection, message))
    task.add_done_callback(lambda _: lock.release())
    _sending.add(task)
    task.add_done_callback(_sending.discard)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        if not sending.begun(message):
            task.cancel()
        raise
