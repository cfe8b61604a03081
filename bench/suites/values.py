# SPDX-License-Identifier: MIT
"""Values, Arrays and SharedMemory, in one process, between two, and what it costs to create one."""

from __future__ import annotations

import importlib
import pickle
from collections.abc import Callable
from itertools import repeat
from multiprocessing.context import (  # type: ignore[attr-defined]
    BaseContext,
    get_spawning_popen,
    reduction,
    set_spawning_popen,
)
from typing import Any

import mpfb_play

from ..kinds.alone import Alone, creating
from ..kinds.duo import Duo
from ..kinds.handing import Starting
from ..kinds.scenario import Scenario

SIZE = 4096


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


def memory_life(witness: Any, count: int) -> None:
    memory = type(witness)
    for _ in repeat(None, count):
        made = memory(create=True, size=SIZE)
        made.close()
        made.unlink()


def named_life(witness: Any, count: int) -> None:
    memory = type(witness)
    for _ in repeat(None, count):
        made = memory(create=True, size=SIZE)
        made.name  # noqa: B018 (reading it is a part of the operation)
        made.close()
        made.unlink()


def hand_over(witness: Any, count: int) -> None:
    memory = type(witness)(create=True, size=SIZE)
    before = get_spawning_popen()
    set_spawning_popen(Starting())  # type: ignore[arg-type]
    try:
        for _ in repeat(None, count):
            pickle.loads(reduction.ForkingPickler.dumps(memory)).close()
    finally:
        set_spawning_popen(before)
        memory.close()
        memory.unlink()


def read_text(items: Any, count: int) -> None:
    for _ in repeat(None, count):
        items[6]


def write_text(items: Any, count: int) -> None:
    for _ in repeat(None, count):
        items[6] = "text"


def shared_memory(context: BaseContext) -> Any:
    return importlib.import_module(f"{type(context).__module__.partition('.')[0]}.shared_memory")


def witness(context: BaseContext) -> Any:
    """A SharedMemory that is of the package, and has no name that could be left."""
    made = shared_memory(context).SharedMemory(create=True, size=SIZE)
    made.unlink()
    return made


def items(context: BaseContext) -> Any:
    made = shared_memory(context).ShareableList([0, 1, 2, 3, 4, 5, "text"])
    made.shm.unlink()
    return made


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

MEMORY: tuple[Alone, ...] = (
    Alone(
        "memory",
        "SharedMemory, its life without a name",
        "SharedMemory",
        "SharedMemory(create=True, size=4096), close(), unlink()",
        witness,
        memory_life,
    ),
    Alone(
        "named_memory",
        "SharedMemory, its life with a name",
        "SharedMemory",
        "SharedMemory(create=True, size=4096), name, close(), unlink()",
        witness,
        named_life,
    ),
    Alone(
        "memory_to_child",
        "SharedMemory, to a child that starts",
        "SharedMemory",
        "pickle a SharedMemory as for a child, unpickle and close it",
        witness,
        hand_over,
    ),
    Alone("list_read", "ShareableList, read an int", "SharedMemory", "l[5]", items, read_item),
    Alone("list_write", "ShareableList, write an int", "SharedMemory", "l[5] = 5", items, write_item),
    Alone("list_read_text", "ShareableList, read a str", "SharedMemory", "l[6]", items, read_text),
    Alone("list_write_text", "ShareableList, write a str", "SharedMemory", 'l[6] = "text"', items, write_text),
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

SCENARIOS: tuple[Scenario, ...] = (*ALONE, *MEMORY, *DUO, *CREATION)
