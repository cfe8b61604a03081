# SPDX-License-Identifier: MIT
"""What two processes say to each other through a connection. Role 0 is the measuring process, role 1 its peer."""

from __future__ import annotations

import functools
from itertools import repeat
from typing import Any

from mpfb_play import Things

MIB = 1 << 20


def array(size: int) -> Any:
    import numpy

    return numpy.arange(size, dtype="u1")


PAYLOADS: dict[str, Any] = {
    "int": lambda: 12345,
    "dict": lambda: {"number": 12345, "name": "a name", "list": [1, 2, 3], "nested": {"x": 1.5, "y": None}},
    "1 KiB": lambda: bytes(1024),
    "64 KiB": lambda: bytes(65536),
    "1 MiB": lambda: bytes(MIB),
    "64 KiB array": lambda: array(65536),
    "1 MiB array": lambda: array(MIB),
    "64 MiB array": lambda: array(64 * MIB),
}


@functools.cache
def payload(name: str) -> Any:
    return PAYLOADS[name]()


def check(name: str, got: Any) -> None:
    """A message that arrives quickly and wrong is worth nothing."""
    expected = payload(name)
    same = got.tobytes() == expected.tobytes() if hasattr(expected, "tobytes") else got == expected
    if type(got) is not type(expected) or not same:
        raise ValueError(f"what arrived is not the {name} that was sent")


def stream(name: str, things: Things, role: int, count: int) -> None:
    """One sends, the other receives."""
    conn = things.measured[role]
    if role:
        recv = conn.recv
        for _ in repeat(None, count):
            recv()
        return
    send, thing = conn.send, payload(name)
    for _ in repeat(None, count):
        send(thing)


def turns(name: str, things: Things, role: int, count: int) -> None:
    """There and back."""
    conn = things.measured[role]
    send, recv = conn.send, conn.recv
    if role:
        for _ in repeat(None, count):
            send(recv())
        return
    thing = payload(name)
    for _ in repeat(None, count):
        send(thing)
        recv()
