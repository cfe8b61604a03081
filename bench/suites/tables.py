# SPDX-License-Identifier: MIT
"""Dicts and lists that processes share: mpfast's, a manager's, and another package's."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import repeat
from multiprocessing.context import BaseContext
from typing import Any

import mpfb_play
from mpfb_peer import Play

from ..kinds.alone import Alone, Loop
from ..kinds.duo import Duo
from ..kinds.scenario import ONE_METHOD, Scenario

KILOBYTE = b"x" * 1024
KEYS = mpfb_play.KEYS
MOST = 10_000  # items to which a list grows


def new_dict(context: BaseContext) -> Any:
    """A manager ends with the last of its proxies."""
    shared = getattr(context, "shared", None)
    content = {**dict.fromkeys(KEYS, 1), "kilobyte": KILOBYTE}
    return context.Manager().dict(content) if shared is None else shared.Dict(content)


def thousand(context: BaseContext) -> Any:
    table = new_dict(context)
    table.update({f"i{i}": i for i in range(1016 - len(table))})
    return table


def new_list(context: BaseContext) -> Any:
    shared = getattr(context, "shared", None)
    return context.Manager().list([1]) if shared is None else shared.List([1])


def read_small(table: Any, count: int) -> None:
    for _ in repeat(None, count):
        table["k3"]


def write_small(table: Any, count: int) -> None:
    for _ in repeat(None, count):
        table["k3"] = 5


def read_kilobyte(table: Any, count: int) -> None:
    for _ in repeat(None, count):
        table["kilobyte"]


def write_kilobyte(table: Any, count: int) -> None:
    for _ in repeat(None, count):
        table["kilobyte"] = KILOBYTE


def read_items(table: Any, count: int) -> None:
    for _ in repeat(None, count):
        list(table.items())


def read_len(table: Any, count: int) -> None:
    for _ in repeat(None, count):
        len(table)


def append(items: Any, count: int) -> None:
    for _ in repeat(None, count):
        items.append(5)
    if len(items) > MOST:
        del items[1:]


def read_first(items: Any, count: int) -> None:
    for _ in repeat(None, count):
        items[0]


def alone(key: str, title: str, operation: str, make: Callable[[BaseContext], Any], loop: Loop) -> Alone:
    kind = "shared List" if make is new_list else "shared Dict"
    return Alone(key, title, kind, operation, make, loop, methods=ONE_METHOD)


def duo(key: str, title: str, operation: str, play: Play, units: int) -> Duo:
    return Duo(key, title, "shared Dict", operation, lambda c: (new_dict(c),), play, units=units)


READ = alone("dict_read", "shared Dict, read an int", 'd["k3"]', new_dict, read_small)
WRITE = alone("dict_write", "shared Dict, write an int", 'd["k3"] = 5', new_dict, write_small)
READ_KILOBYTE = alone("dict_read_1k", "shared Dict, read 1 KiB", 'd["k"]', new_dict, read_kilobyte)
WRITE_KILOBYTE = alone("dict_write_1k", "shared Dict, write 1 KiB", 'd["k"] = b', new_dict, write_kilobyte)
ITEMS = alone("dict_items", "shared Dict, all of 1,016", "list(d.items())", thousand, read_items)
LEN = alone("dict_len", "shared Dict, length", "len(d)", new_dict, read_len)
BOTH_WRITE = duo(
    "dict_both_write",
    "shared Dict, two writers",
    "d[k] = i for 16 keys, in two processes (per write)",
    mpfb_play.write_keys,
    2,
)
READ_OF_WRITTEN = duo(
    "dict_read_of_written",
    "shared Dict, a reader and a writer",
    "d[k] in one process while the other does d[k] = i (per operation)",
    mpfb_play.read_and_write,
    2,
)
APPEND = alone("list_append", "shared List, append", "l.append(5)", new_list, append)
FIRST = alone("list_read", "shared List, read", "l[0]", new_list, read_first)

OURS: tuple[Scenario, ...] = (
    *(READ, WRITE, READ_KILOBYTE, WRITE_KILOBYTE, ITEMS, LEN, BOTH_WRITE, READ_OF_WRITTEN, APPEND, FIRST),
)


def against_ultradict(scenario: Scenario) -> Scenario:
    """The same against ultradict2's dict. Its times stand in the stdlib's place then."""
    return replace(
        scenario,
        key=f"ultradict_{scenario.key}",
        title=f"{scenario.title}, against ultradict2",
        primitive="shared Dict against ultradict2",
        rival="UltraDict2",
        methods=ONE_METHOD,
    )


THEIRS = tuple(
    against_ultradict(scenario)
    for scenario in (READ, WRITE, READ_KILOBYTE, WRITE_KILOBYTE, ITEMS, LEN, BOTH_WRITE, READ_OF_WRITTEN)
)

SCENARIOS: tuple[Scenario, ...] = (*OURS, *THEIRS)
