# SPDX-License-Identifier: MIT
"""Connections: Pipe, Listener, Client, wait and all else that multiprocessing.connection has.

Connection and Pipe are in endpoint.py, what they are made of in wire.pyx, receiving.pyx and sending.pyx, wait in
ready.pyx, Listener and Client in listener.py. The handshake and everything not named here is the stdlib's.
"""

from __future__ import annotations

from multiprocessing import connection as _stdlib
from multiprocessing.connection import *  # noqa: F403
from typing import Any

from .endpoint import Connection, Pipe, rebuild_connection, reduce_connection
from .listener import Client, Listener, XmlClient, XmlListener
from .ready import wait

__all__ = [
    "Client", "Connection", "Listener", "Pipe", "XmlClient", "XmlListener", "rebuild_connection", "reduce_connection",
    "wait",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    return getattr(_stdlib, name)
