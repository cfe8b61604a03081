# SPDX-License-Identifier: MIT
"""Connection and Pipe, and how a connection gets to another process."""

from __future__ import annotations

from multiprocessing import connection as _stdlib
from multiprocessing import reduction

from .sending import Sender
from .wire import pair, pickler_names

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["Connection", "Pipe"]


pickler_names(vars(_stdlib))


class Connection(Sender, vars(_stdlib)["Connection"]):  # type: ignore[misc]
    """One end of a pipe or socket: Connection(handle, readable=True, writable=True).

    Any thread may use it. One at a time receives and one sends. In a forked child it is a copy of its own. isinstance()
    says that it is a multiprocessing.connection.Connection, but all that it does is Sender's and Receiver's.
    """

    __module__ = "mpfast.connection"
    _readable = Sender.readable
    _writable = Sender.writable

    def __reduce__(self) -> Any:
        return reduce_connection(self)

    async def arecv(self) -> Any:
        """recv() for a coroutine. The event loop goes on meanwhile. If it is cancelled, the next call gets the message.

        It takes the place of a reader that the loop had for this descriptor (loop.add_reader()).
        """
        from .aio import receive

        return await receive(self)

    async def asend(self, obj: Any) -> None:
        """send() for a coroutine. If it is cancelled in the middle of a message, the loop sends the rest of it.

        The next send() does so too. It takes the place of a writer that the loop had for this descriptor.
        """
        from .aio import send

        await send(self, obj)


def Pipe(duplex: bool = True) -> tuple[Connection, Connection]:
    """Returns two connected ends. If duplex, both send and receive. Else the first receives and the second sends."""
    return pair(Connection, duplex)


def reduce_connection(connection: Connection) -> Any:
    connection._whole()
    fd, readable, writable, known = connection._facts()
    return rebuild_connection, (reduction.DupFd(fd), readable, writable, type(connection), known)


def rebuild_connection(
    dup: Any, readable: bool, writable: bool, cls: type[Connection] = Connection, known: tuple[bool, ...] = ()
) -> Connection:
    connection = cls.__new__(cls)
    Sender.__init__(connection, dup.detach(), readable, writable)
    if known:
        connection._know(*known)
    return connection


reduction.register(Connection, reduce_connection)
for _function in (Pipe, rebuild_connection, reduce_connection):
    _function.__module__ = "mpfast.connection"  # the public name, for pickles
