# SPDX-License-Identifier: MIT
"""Connections. Pipe, Listener, Client, wait and everything else that multiprocessing.connection has.

Their parts are in the room wire/. The handshake, and everything that is not named here, is the stdlib's.
"""

from __future__ import annotations

from multiprocessing import connection as _stdlib
from typing import Any

from .wire.endpoint import Connection, Pipe, rebuild_connection, reduce_connection
from .wire.listener import Client, Listener, XmlClient, XmlListener
from .wire.wait import wait
from .wire.wire import pickler_names

__all__ = [
    "Client", "Connection", "Listener", "Pipe", "XmlClient", "XmlListener", "rebuild_connection", "reduce_connection",
    "wait",
]  # fmt: skip

_ForkingPickler = vars(_stdlib)["_ForkingPickler"]  # a program may replace it, here or there
pickler_names(globals())


def __getattr__(name: str) -> Any:
    return getattr(_stdlib, name)
