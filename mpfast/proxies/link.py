# SPDX-License-Identifier: MIT
"""Link: the connection over which one thread of one process calls a server.

No two threads and no two processes share one. A forked child finds its parent's and makes its own, because on one
connection each would get the other's answers. A call that was interrupted leaves its answer behind. The next call of
the thread reads it away, or takes a new connection if it does not come. A call inside a call, as in a signal handler,
has a connection of its own.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import threading
import weakref
from multiprocessing import managers as _stdlib
from multiprocessing import process as _process
from multiprocessing import util as _util
from typing import Any

from ..wire.endpoint import Connection
from .door import Door, ToServer, hung_up

__all__ = ["Link", "link_of", "link_to", "local_to", "reader", "retire"]

RING_AFTER = 64  # calls over the socket. Making a ring costs as much as about so many of them save
GRACE = 0.1  # seconds for the answer of a call that was interrupted
VERSION = 1  # of the requests that a server of mpfast's knows
_send, _receive = Connection.send, Connection.recv
_getpid = os.getpid
_marks = itertools.count()


class _Reader(threading.local):
    """Who reads what this thread pickles. portable: it may be a process without mpfast."""

    portable = False


reader = _Reader()


class Link(ToServer):
    """A connection to a server that answers one request after the other."""

    pid: int  # of the process that made it
    ours: bool  # is the server one of mpfast's?
    busy: bool  # a call is under way
    unsure: bool  # a call has failed, and perhaps its answer comes yet
    later: list[Any] | None  # proxies that arrived in an answer, and are counted after it
    ring: Any  # shared memory between this process and the server, or None
    calls: int  # until the ring is asked for

    def begin(self) -> None:
        self.pid, self.busy, self.unsure, self.later = _getpid(), False, False, None
        self.ring, self.calls, self.ours = None, 0, False
        self.ours = self.ask(("0", "#HELLO", (VERSION,), {}))[0] == "#RETURN"

    def ask(self, message: Any) -> Any:
        """Sends a request and returns its answer. ManagerDied if the server is dead."""
        if self.ring is None:
            self.calls += 1
            if self.calls == RING_AFTER and self.ours and self.door.rings:
                self._ask_for_a_ring()  # before the call, because an exception after it would cost its result
        self.busy = True
        try:
            ring = self.ring
            if ring is not None:
                ring.send(message)
                answer = ring.recv()
            elif self.ours:
                _send(self, message)
                answer = _receive(self)
            else:
                self._send_portable(message)
                answer = _receive(self)
        except BaseException as error:
            self._failed(error)
            raise
        self.busy = False
        if self.later is not None:
            self._count_later()
        return answer

    def _ask_for_a_ring(self) -> None:
        """Leaves the socket for shared memory. Where that is not to be had, the socket stays."""
        try:
            from . import ring

            half, offers = ring.propose()
        except (ImportError, OSError, RuntimeError, MemoryError):
            return
        self.door.rings = self.ask(("0", "#RING", (offers,), {}))[0] == "#RETURN"
        if self.door.rings:
            self.ring = ring.opened(half, self.fileno(), hung_up)

    def close(self) -> None:
        if self.ring is not None and self.pid == _getpid() and not self.closed:
            with contextlib.suppress(Exception):
                self.ring.end()  # so that the server need not look at the socket
        super().close()

    def __del__(self) -> None:
        if getattr(self, "ring", None) is not None:
            self.close()

    def _send_portable(self, message: Any) -> None:
        before, reader.portable = reader.portable, True
        try:
            _send(self, message)
        finally:
            reader.portable = before

    def _failed(self, error: BaseException) -> None:
        self.busy, self.unsure, self.later = False, True, None
        if not isinstance(error, OSError | EOFError):
            return
        if self.closed or hung_up(self.fileno()):
            self.close()
            self.door.tell_of_death(self.server, error)

    def _count_later(self) -> None:
        proxies, self.later = self.later or [], None
        for proxy in proxies:
            proxy._mpfast_count(self)

    def settle(self) -> bool:
        """Reads the answers of interrupted calls away. False if they do not come, so that the link is of no use."""
        mark = f"mpfast-{next(_marks)}"  # no object has that name, so the answer is an error that has it
        try:
            ring = self.ring
            message: Any = (mark, "#SETTLE", (), {})
            ring.send(message) if ring is not None else _send(self, message)
            while ring.poll(GRACE) if ring is not None else self.poll(GRACE):
                try:
                    kind, result = ring.recv() if ring is not None else _receive(self)
                except (OSError, EOFError):
                    raise
                except Exception:  # an answer that cannot be unpickled
                    continue
                if kind == "#TRACEBACK" and mark in result:
                    self.unsure = False
                    return True
        except (OSError, EOFError):
            pass
        return False


def local_to(address: Any) -> tuple[Any, Any]:
    """What multiprocessing keeps of a server at an address: connections by thread, and which objects have proxies.

    It is multiprocessing's own table, so that both packages' proxies find the same.
    """
    base: Any = _stdlib.BaseProxy
    with base._mutex:
        found: tuple[Any, Any] | None = base._address_to_local.get(address)
        if found is None:
            found = _util.ForkAwareLocal(), _stdlib.ProcessLocalSet()  # type: ignore[attr-defined]
            base._address_to_local[address] = found
    return found


def link_of(tls: Any) -> Link | None:
    """This thread's link, if it has one that is at rest."""
    link = getattr(tls, "connection", None)
    if type(link) is not Link or link.busy or link.unsure or link.pid != _getpid():
        return None
    return link


def link_to(tls: Any, door: Door, address: Any, authkey: Any) -> Link | None:
    """A link for this thread's next call, a new one if need be. None for connections of another kind (XML-RPC)."""
    link = getattr(tls, "connection", None)
    nested = False
    if type(link) is Link and link.pid == _getpid():
        if not link.busy and (not link.unsure or link.settle()):
            return link
        nested = link.busy
    if not nested and link is not None:
        del tls.connection
        link.close()
    link = _connect(door, address, authkey)
    if link is not None and not nested:
        tls.connection = link
    return link


def _connect(door: Door, address: Any, authkey: Any) -> Link | None:
    connection: Any = door(address, authkey=authkey)
    if type(connection) is not ToServer:
        connection.close()
        return None
    name = _process.current_process().name
    if threading.current_thread().name != "MainThread":
        name += "|" + threading.current_thread().name
    try:
        _stdlib.dispatch(connection, None, "accept_connection", (name,))  # type: ignore[attr-defined]
        connection.__class__ = Link
        connection.begin()
    except BaseException:
        connection.close()
        raise
    return connection


class _LastDropped(threading.local):
    """The server whose last proxy this thread has dropped."""

    local: Any = None


_last = _LastDropped()


def retire(tls: Any, idset: Any, keep: bool) -> None:
    """The process has no proxy of that server's any more. keep: it may soon have another one.

    A thread keeps one connection without proxies at most.
    """
    before = _last.local
    if before is not None and before[0]() is not tls and not before[1]:
        _close(before[0]())
    _last.local = None
    if not keep:
        _close(tls)
    elif hasattr(tls, "connection"):
        _last.local = weakref.ref(tls), idset


def _close(tls: Any) -> None:
    """Unless a call is under way, in the middle of which the garbage collector has found the last proxy."""
    if tls is not None and hasattr(tls, "connection") and not getattr(tls.connection, "busy", False):
        tls.connection.close()
        del tls.connection


def _forget_connections() -> None:
    """A forked child lets go of the sockets of the thread that forked. The other threads' went with the threads."""
    for tls, _ in list(_stdlib.BaseProxy._address_to_local.values()):
        if type(getattr(tls, "connection", None)) is Link:
            del tls.connection


os.register_at_fork(after_in_child=_forget_connections)
