# SPDX-License-Identifier: MIT
"""What a server of mpfast's answers beyond multiprocessing's requests.

These are requests to the object "0", which a server of multiprocessing refuses. They come over the connection that a
thread has already, where multiprocessing makes a new one.
"""

from __future__ import annotations

import traceback
from multiprocessing import managers as _stdlib
from multiprocessing.reduction import ForkingPickler
from typing import Any

from .link import reader

__all__ = ["Requests"]

_std: Any = _stdlib
_Server = _std.Server


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
        for call in calls:
            name = call[0]
            if name not in exposed or makes and name in makes:
                odd[len(values)], value = self._mpfast_call(conn, entry, *call)
                values.append(value)
                continue
            try:
                values.append(getattr(obj, name)(*call[1]) if len(call) == 2 else getattr(obj, name)(*call[1], **call[2]))
            except Exception as error:
                odd[len(values)] = "#ERROR"
                values.append(error)
        if not odd and _PLAIN.issuperset(map(type, values)):
            return values
        try:
            return _dumps((values, odd))
        except Exception:
            return _dumps((_whatever_can(values, odd), odd))

    def _mpfast_call(
        self: Any, conn: Any, entry: Any, name: str, args: Any, kwds: Any = {}, /
    ) -> tuple[str, Any]:  # fmt: skip
        """A call the result of which becomes a proxy, or of a method that is not exposed."""
        obj, exposed, makes = entry
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

    fallback_mapping = {
        **_Server.fallback_mapping,
        "#HELLO": _hello,
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
