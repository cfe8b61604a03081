# SPDX-License-Identifier: MIT
"""Connections in an event loop, without a thread: Connection.arecv() and asend().

Each loop has a line of receivers and one of senders for a connection. Who is first in it tries, and else has the loop
watch the descriptor. The descriptor's own O_NONBLOCK is not touched. Half a message stays with the connection.
"""

from __future__ import annotations

import asyncio
from weakref import WeakKeyDictionary

from . import receiving, sending

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_sending: set[asyncio.Task[None]] = set()  # what nobody waits for any more; the loop keeps only weak references


class Watch:
    """Somebody waits in a loop until a connection can be read, or written."""

    def __init__(self, connection: Any, reading: bool) -> None:
        self.loop = asyncio.get_running_loop()
        self.connection, self.reading = connection, reading
        self.fd = connection._facts()[0]
        self.future = self.loop.create_future()

    def wake(self) -> None:
        if not self.future.done():
            self.future.set_result(None)

    def remove(self) -> None:
        if self.fd >= 0:
            (self.loop.remove_reader if self.reading else self.loop.remove_writer)(self.fd)
            self.fd = -1

    def closed(self) -> None:
        """The connection is about to be closed, in whatever thread."""
        try:
            here = asyncio.get_running_loop() is self.loop
        except RuntimeError:
            here = False
        if here or not self.loop.is_running():
            self.remove()
        if here:
            self.wake()
        elif not self.loop.is_closed():
            self.loop.call_soon_threadsafe(self.wake)

    async def over(self) -> None:
        watching = self.connection._watching
        if watching is None:
            watching = self.connection._watching = set()
        (self.loop.add_reader if self.reading else self.loop.add_writer)(self.fd, self.wake)
        watching.add(self)
        try:
            await self.future
        finally:
            watching.discard(self)
            self.remove()


def line(connection: Any, reading: bool) -> asyncio.Lock:
    """Those who wait in this loop, one after the other."""
    if connection._lines is None:
        connection._lines = WeakKeyDictionary()
    lines = connection._lines.setdefault(asyncio.get_running_loop(), (asyncio.Lock(), asyncio.Lock()))
    lock: asyncio.Lock = lines[reading]
    return lock


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
