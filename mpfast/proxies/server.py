# SPDX-License-Identifier: MIT
"""What a server of mpfast's answers beyond multiprocessing's requests.

These are requests to the object "0", which a server of multiprocessing refuses. They come over the connection that a
thread has already, where multiprocessing makes a new one.
"""

from __future__ import annotations

import traceback
from multiprocessing import managers as _stdlib
from multiprocessing.reduction import ForkingPickler
from types import SimpleNamespace
from typing import Any, ClassVar

from .door import hung_up
from .link import reader

__all__ = ["Begin", "Requests", "family_pass"]

_std: Any = SimpleNamespace(**vars(_stdlib))
_Server = _std.Server


def family_pass() -> Any:
    """What makes a child that gets it a member of this process's family. None where there is none."""
    try:
        from .ring import Pass

        return Pass()
    except (ImportError, OSError, RuntimeError, MemoryError):
        return None


class Begin:
    """The initializer of a server, which makes it a member of the family of the process that starts it."""

    def __init__(self, initializer: Any) -> None:
        self.initializer = initializer
        self.family = family_pass()

    def __call__(self, *args: Any) -> None:
        if self.initializer is not None:
            self.initializer(*args)


class RingConnection:
    """As much of a connection as the server's loop needs."""

    def __init__(self, socket: Any, ring: Any) -> None:
        self.send, self.recv, self.close = ring.send, ring.recv, socket.close


class Requests:
    """Base of the servers, before multiprocessing's."""

    id_to_obj: dict[str, Any]

    def _mpfast_open(self) -> None:
        self.id_to_obj["0"] = (None, (), None)

    def serve_client(self, conn: Any) -> None:
        reader.portable = True  # until the client says who it is
        _Server.serve_client(self, conn)

    def _hello(self, conn: Any, ident: Any, obj: Any, version: int, /) -> None:
        reader.portable = False

    def _ring(self: Any, conn: Any, ident: Any, obj: Any, offers: Any, /) -> None:
        """Goes over to shared memory, in the same thread, which may own locks. Comes back if that is impossible."""
        from . import ring

        end = ring.accept(offers, conn.fileno(), hung_up)
        conn.send(("#RETURN", None))
        _Server.serve_client(self, RingConnection(conn, end))

    def _create(self: Any, conn: Any, ident: Any, obj: Any, typeid: str, /, *args: Any, **kwds: Any) -> Any:
        return self.create(conn, typeid, *args, **kwds)

    def _incref(self: Any, conn: Any, ident: Any, obj: Any, target: str, /) -> None:
        self.incref(conn, target)

    def _decref(self: Any, conn: Any, ident: Any, obj: Any, target: str, /) -> None:
        self.decref(conn, target)

    def _many(self: Any, conn: Any, ident: Any, obj: Any, target: str, calls: Any, /) -> Any:
        """Makes calls of one object. Returns the results if they are plain values, else a pickle of all there is.

        So a result that cannot be pickled costs its own call only.
        """
        try:
            entry = self.id_to_obj[target]
        except KeyError:
            entry = self.id_to_local_proxy_obj[target]
        obj, exposed, makes = entry
        values: list[Any] = []
        odd: dict[int, str] = {}  # the kinds of those answers that are no plain results
        plain = exposed.difference(makes) if makes else exposed
        append = values.append
        for call in calls:
            name, args = call[0], call[1]
            if name in plain:
                try:
                    append(getattr(obj, name)(*args) if len(call) == 2 else getattr(obj, name)(*args, **call[2]))
                except Exception as error:
                    odd[len(values)] = "#ERROR"
                    append(error)
            else:
                odd[len(values)], value = self._mpfast_call(conn, entry, *call)
                append(value)
        if not odd and _PLAIN.issuperset(map(type, values)):
            return values
        try:
            return _dumps((values, odd))
        except Exception:
            return _dumps((_whatever_can(values, odd), odd))

    def _mpfast_call(self: Any, conn: Any, entry: Any, name: str, args: Any, kwds: Any = None, /) -> tuple[str, Any]:
        """A call the result of which becomes a proxy, or of a method that is not exposed."""
        obj, exposed, makes = entry
        kwds = kwds or {}
        if name in exposed:
            try:
                result = getattr(obj, name)(*args, **kwds)
            except Exception as error:
                return "#ERROR", error
        try:
            if name in exposed:
                ident, methods = self.create(conn, makes[name], result)
                return "#PROXY", (methods, _std.Token(makes[name], self.address, ident))
            return "#RETURN", self.fallback_mapping[name](self, conn, "", obj, *args, **kwds)
        except Exception:
            return "#TRACEBACK", traceback.format_exc()

    fallback_mapping: ClassVar[dict[str, Any]] = {
        **_Server.fallback_mapping,
        "#HELLO": _hello,
        "#RING": _ring,
        "#CREATE": _create,
        "#INCREF": _incref,
        "#DECREF": _decref,
        "#MANY": _many,
    }


_PLAIN = {type(None), bool, int, float, str, bytes}


def _dumps(obj: Any) -> bytes:
    return bytes(ForkingPickler.dumps(obj))


def _whatever_can(values: list[Any], odd: dict[int, str]) -> list[Any]:
    """The values, with an error in the place of each that cannot be pickled. `odd` says so."""
    for number, value in enumerate(values):
        try:
            _dumps(value)
        except Exception:
            values[number], odd[number] = traceback.format_exc(), "#UNSERIALIZABLE"
    return values
