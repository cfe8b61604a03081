# SPDX-License-Identifier: MIT
"""Values and Arrays, in one process, between two, and what it costs to create one."""

from __future__ import annotations

from collections.abc import Callable
from itertools import repeat
from multiprocessing.context import BaseContext
from typing import Any

import mpfb_play

from ..kinds.alone import Alone, creating
from ..kinds.duo import Duo
from ..kinds.scenario import Scenario


def read_value(value: Any, count: int) -> None:
    for _ in repeat(None, count):
        value.value  # noqa: B018 (reading it is the operation)


def write_value(value: Any, count: int) -> None:
    for _ in repeat(None, count):
        value.value = 5


def add_under_lock(value: Any, count: int) -> None:
    for _ in repeat(None, count):
        with value.get_lock():
            value.value += 1


def read_item(array: Any, count: int) -> None:
    for _ in repeat(None, count):
        array[5]


def write_item(array: Any, count: int) -> None:
    for _ in repeat(None, count):
        array[5] = 5


def read_slice(array: Any, count: int) -> None:
    for _ in repeat(None, count):
        array[2:50]


def creation(key: str, operation: str, maker: Callable[[BaseContext], Callable[[], object]]) -> Alone:
    return creating(key, operation, "Creating a Value or Array", maker)


ALONE: tuple[Alone, ...] = (
    Alone("value_read", "Value, read", "Value", "v.value", lambda c: c.Value("q"), read_value),
    Alone("value_write", "Value, write", "Value", "v.value = 5", lambda c: c.Value("q"), write_value),
    Alone(
        "value_add",
        "Value, add under its lock",
        "Value",
        "with v.get_lock(): v.value += 1",
        lambda c: c.Value("q"),
        add_under_lock,
    ),
    Alone("array_read", "Array, read", "Array", "a[5]", lambda c: c.Array("q", 100), read_item),
    Alone("array_write", "Array, write", "Array", "a[5] = 5", lambda c: c.Array("q", 100), write_item),
    Alone("array_slice", "Array, slice", "Array", "a[2:50]", lambda c: c.Array("q", 100), read_slice),
)

# An object of ctypes is of no package, but its memory is.
CREATION: tuple[Alone, ...] = (
    creation("value", 'Value("q")', lambda c: lambda: c.Value("q")),
    creation("raw_value", 'RawValue("q")', lambda c: lambda: c.RawValue("q")._wrapper),
    creation("array", 'Array("i", 100)', lambda c: lambda: c.Array("i", 100)),
    creation("raw_array", 'RawArray("b", 65536)', lambda c: lambda: c.RawArray("b", 1 << 16)._wrapper),
    creation("large_array", 'RawArray("b", 1 << 24)', lambda c: lambda: c.RawArray("b", 1 << 24)._wrapper),
)

DUO: tuple[Duo, ...] = (
    Duo(
        "contended_value",
        "Value, two processes",
        "Value",
        "with v.get_lock(): v.value += 1, in two processes (per increment)",
        lambda c: (c.Value("q"),),
        mpfb_play.add_to_value,
        units=2,
    ),
)

SCENARIOS: tuple[Scenario, ...] = (*ALONE, *DUO, *CREATION)
