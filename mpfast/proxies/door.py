# SPDX-License-Identifier: MIT
"""Door: the way to one manager's server, and what is known of the process behind it.

A door is called like Client(), and has its place in managers and proxies. What differs is the error after the server's
death. It is ManagerDied, whatever the system says about a socket without an owner.
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
import socket
import struct
import weakref
from multiprocessing import connection as _wire
from typing import Any

from ..errors import ManagerDied
from ..wire.endpoint import Connection
from ..wire.listener import Client, XmlClient
from ..wire.wait import wait

__all__ = ["Door", "ServerProcess", "ToServer", "door_to", "hung_up"]

ENDING = 0.2  # seconds in which a server that broke a connection is seen as ended, if it has to be
REFUSING = 10.0  # the same if it does not listen any more. Its threads need the CPU for their ends
HUNG_UP = select.POLLHUP | select.POLLERR | select.POLLNVAL | select.POLLRDHUP
CLIENTS = {"pickle": Client, "xmlrpclib": XmlClient}


def hung_up(fd: int) -> bool:
    """Has the other end of a socket closed it?"""
    poll = select.poll()
    poll.register(fd, select.POLLRDHUP)
    return any(found & HUNG_UP for _, found in poll.poll(0))


def _stat_of(pid: int) -> list[bytes]:
    """What /proc says of a process, from its state on. Nothing 20 times if it is gone."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].split()
    except OSError:
        return [b""] * 20


def _start_of(pid: int) -> bytes:
    """When the process was started, as /proc says it. So a later process with its number is known."""
    return _stat_of(pid)[19]


def _server_of(connection: Connection) -> int:
    """The process that listens at the other end of a Unix socket. 0 if it is in a pid namespace that is not seen."""
    end = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM, 0, connection.fileno())
    try:
        found: int = struct.unpack("3i", end.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[0]
    finally:
        end.detach()
    return found


def _pids_are_of() -> int:
    """Which pid namespace this process's /proc shows, as a number."""
    try:
        return os.stat("/proc/self/ns/pid").st_ino
    except OSError:
        return 0


class ServerProcess:
    """A process that serves. `process` is its Process object, where this process has started it."""

    def __init__(self, pid: int, process: Any = None, started: bytes = b"") -> None:
        self.pid = pid
        self.started = started or _start_of(pid)
        self.process = process
        self.parent = os.getpid()

    def ended(self, seconds: float) -> bool:
        """Has it ended, or does it end within so many seconds?"""
        if self.process is not None and self.parent == os.getpid():
            with contextlib.suppress(ValueError):  # somebody has closed the Process object
                return self.process.exitcode is not None or bool(wait([self.process.sentinel], seconds))
        try:
            pidfd = os.pidfd_open(self.pid)
        except ProcessLookupError:
            return True
        except OSError:  # refused, or no descriptor is free
            return _start_of(self.pid) != self.started
        try:
            return _start_of(self.pid) != self.started or bool(wait([pidfd], seconds))
        finally:
            os.close(pidfd)

    @property
    def exitcode(self) -> int | None:
        """None in processes that have not started it."""
        if self.process is None or self.parent != os.getpid():
            return None
        try:
            found: int | None = self.process.exitcode
        except ValueError:
            return None
        return found

    def stopped(self) -> bool:
        """Has a signal stopped it?"""
        return _stat_of(self.pid)[0] in (b"T", b"t")


class ToServer(Connection):
    """A connection to a server, for one request and its answer. The errors of send() and recv() may be ManagerDied."""

    door: Door
    server: ServerProcess | None

    def send(self, obj: Any) -> None:
        try:
            super().send(obj)
        except OSError as error:
            self.door.tell_of_death(self.server, error)
            raise

    def recv(self) -> Any:
        try:
            return super().recv()
        except (OSError, EOFError) as error:
            self.door.tell_of_death(self.server, error)
            raise


class _Hasty(ToServer):
    """One that does not wait for ever for a server that a signal has stopped."""

    patience: float

    def _await(self) -> None:
        while not self.poll(self.patience):
            if self.server is not None and self.server.stopped():
                raise TimeoutError(f"the manager's server, process {self.server.pid}, is stopped")

    def recv(self) -> Any:
        self._await()
        return super().recv()

    def recv_bytes(self, maxlength: int | None = None) -> bytes:
        self._await()
        return super().recv_bytes(maxlength)


class Door:
    """Connects to a server: door(address, authkey=key). One is shared by all that have to do with that server."""

    def __init__(self, serializer: str) -> None:
        self.client = CLIENTS[serializer]
        self.server: ServerProcess | None = None  # the one that was met last
        self.address: Any = None
        self.rings = True  # until it has refused one

    def __call__(self, address: Any, *args: Any, **keywords: Any) -> Any:
        self.address = address
        try:
            found: Any = self.client(address, *args, **keywords)
        except (OSError, EOFError) as error:
            self.tell_of_death(self.server, error)
            raise
        if type(found) is Connection:
            found.__class__ = ToServer
            found.door = self
            found.server = self.meet(address, found)
        return found

    def hasty(self, patience: float) -> Any:
        """The same door, for a caller that gives up on a stopped server after so many seconds without an answer."""

        def connect(address: Any, authkey: bytes) -> Any:
            if self.client is not Client:
                return self(address, authkey=authkey)
            found: Any = self(address)
            found.__class__, found.patience = _Hasty, patience
            _wire.answer_challenge(found, authkey)
            _wire.deliver_challenge(found, authkey)
            return found

        return connect

    def meet(self, address: Any, connection: Connection) -> ServerProcess | None:
        """Remembers who serves. Over TCP only the process that has started the server knows it."""
        if not isinstance(address, str | bytes):
            return self.server
        pid = _server_of(connection)
        known = self.server
        if pid > 0 and (known is None or known.pid != pid or known.started != _start_of(pid)):
            self.server, self.rings = ServerProcess(pid), True
        return self.server

    def here(self) -> bool:
        """Has this process started the server? Then it knows when its connections are of no more use."""
        server = self.server
        return server is not None and server.process is not None and server.parent == os.getpid()

    def known(self) -> tuple[int, bytes, int] | None:
        """What another process is told of the server."""
        server = self.server
        return None if server is None else (server.pid, server.started, _pids_are_of())

    def learn(self, known: tuple[int, bytes, int] | None) -> None:
        """Takes over what another process knows, if this one has not met the server yet."""
        if self.server is None and known is not None and known[2] == _pids_are_of():
            self.server = ServerProcess(known[0], started=known[1])

    def tell_of_death(self, server: ServerProcess | None, error: BaseException) -> None:
        """Raises ManagerDied if the server has ended. A connection may also break because the server closed it."""
        if isinstance(error, ManagerDied) or server is None:
            return
        if server.ended(ENDING) or (not self._listens() and server.ended(REFUSING)):
            raise ManagerDied(server.pid, server.exitcode) from error

    def _listens(self) -> bool:
        """Does anybody listen at the address? What cannot be said is a yes."""
        family = socket.AF_UNIX if isinstance(self.address, str | bytes) else socket.AF_INET
        try:
            with socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as end:
                return end.connect_ex(self.address) not in (errno.ECONNREFUSED, errno.ENOENT)
        except OSError:
            return True


_doors: weakref.WeakValueDictionary[tuple[Any, str], Door] = weakref.WeakValueDictionary()


def door_to(address: Any, serializer: str, door: Door | None = None) -> Door:
    """The door that this process has to the server at an address. `door` becomes it, if given."""
    if door is None:
        door = _doors.get((address, serializer)) or Door(serializer)
    _doors[address, serializer] = door
    return door
