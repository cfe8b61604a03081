# SPDX-License-Identifier: MIT
"""What the two processes of a benchmark do with each other. Role 0 is the measuring process, role 1 its peer."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import repeat
from typing import Any

KEYS = [f"k{i}" for i in range(16)]


@dataclass
class Things:
    """Both processes hold the objects that are measured, and one word of plain shared memory."""

    measured: tuple[Any, ...]
    word: Any


def contend(things: Things, role: int, count: int) -> None:
    """The shared count is wrong afterwards if the lock ever let both in."""
    (lock,) = things.measured
    word = things.word
    for _ in repeat(None, count):
        with lock:
            word.value += 1


def add_to_value(things: Things, role: int, count: int) -> None:
    (value,) = things.measured
    for _ in repeat(None, count):
        with value.get_lock():
            value.value += 1


def write_keys(things: Things, role: int, count: int) -> None:
    (table,) = things.measured
    for i in range(count):
        table[KEYS[i & 15]] = i


def read_and_write(things: Things, role: int, count: int) -> None:
    if role:
        write_keys(things, role, count)
        return
    (table,) = things.measured
    for i in range(count):
        table[KEYS[i & 15]]


def take_turns(things: Things, role: int, count: int) -> None:
    (condition,) = things.measured
    word = things.word
    for _ in repeat(None, count):
        with condition:
            while word.value != role:
                condition.wait()
            word.value = 1 - role
            condition.notify()


def exchange_events(things: Things, role: int, count: int) -> None:
    mine, other = things.measured[role], things.measured[1 - role]
    for _ in repeat(None, count):
        if not role:
            other.set()
        mine.wait()
        mine.clear()
        if role:
            other.set()


def exchange_permits(things: Things, role: int, count: int) -> None:
    mine, other = things.measured[role], things.measured[1 - role]
    for _ in repeat(None, count):
        if not role:
            other.release()
        mine.acquire()
        if role:
            other.release()


def meet(things: Things, role: int, count: int) -> None:
    (barrier,) = things.measured
    for _ in repeat(None, count):
        barrier.wait()
