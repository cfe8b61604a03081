# SPDX-License-Identifier: MIT
"""What the processes of the queue benchmarks put and get."""

from __future__ import annotations

from collections.abc import Callable
from itertools import repeat
from typing import Any

from mpfb_play import Things

MIB = 1 << 20


def array(size: int) -> Any:
    import numpy

    return numpy.arange(size // 8, dtype="f8")


PAYLOADS: dict[str, Callable[[], Any]] = {
    "int": lambda: 7,
    "dict": lambda: {"id": 7, "name": "small", "values": [1.5, None, True]},
    "1k": lambda: bytes(range(256)) * 4,
    "64k": lambda: bytes(range(256)) * 256,
    "1m": lambda: bytes(range(256)) * 4096,
    "1m_array": lambda: array(MIB),
    "64m_array": lambda: array(64 * MIB),
}

_made: dict[str, Any] = {}


def payload(name: str) -> Any:
    """Made once in each process."""
    if name not in _made:
        _made[name] = PAYLOADS[name]()
    return _made[name]


def check(item: Any, name: str) -> None:
    """What came last is what was put."""
    expected = payload(name)
    same = item == expected
    if type(item) is not type(expected) or not (same if isinstance(same, bool) else same.all()):
        raise ValueError(f"what came through the queue is no {name}")


def put_all(queue: Any, count: int, name: str) -> None:
    item = payload(name)
    for _ in repeat(None, count):
        queue.put(item)


def get_all(queue: Any, count: int) -> Any:
    item = None
    for _ in repeat(None, count):
        item = queue.get()
    return item


def stream(things: Things, role: int, count: int, name: str) -> None:
    """The measuring process puts, its peer gets."""
    (queue,) = things.measured
    if role:
        check(get_all(queue, count), name)
    else:
        put_all(queue, count, name)


def round_trip(things: Things, role: int, count: int, name: str) -> None:
    there, back = things.measured
    if role:
        for _ in repeat(None, count):
            back.put(there.get())
        return
    item = payload(name)
    for _ in repeat(None, count):
        there.put(item)
        got = back.get()
    check(got, name)


def produce(things: Things, role: int, count: int, name: str) -> None:
    """One of several producers."""
    put_all(things.measured[0], count, name)


def consume(things: Things, role: int, count: int, name: str) -> None:
    """One of several consumers."""
    check(get_all(things.measured[0], count), name)
