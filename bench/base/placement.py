# SPDX-License-Identifier: MIT
"""Where the processes of a cell run. The placement decides a two-process time, so it is part of the cell."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from .errors import Skipped

PLACEMENTS = ("one_cpu", "two_cpus")


@dataclass(frozen=True)
class Place:
    """The CPUs of the measuring process and of its peer."""

    own: frozenset[int]
    peer: frozenset[int]

    @property
    def both(self) -> frozenset[int]:
        return self.own | self.peer


def place(name: str, mask: frozenset[int]) -> Place:
    """Choose CPUs out of the affinity mask that the run was given."""
    first = min(mask)
    if name == "one_cpu":
        return Place(frozenset({first}), frozenset({first}))
    if len(mask) < 2:
        raise Skipped("the affinity mask has only one CPU")
    return Place(frozenset({first}), frozenset({other_core(first, mask)}))


def other_core(cpu: int, mask: frozenset[int]) -> int:
    """A CPU that is not a hardware thread of the same core, if there is one."""
    others = sorted(mask - {cpu})
    return next((other for other in others if other not in siblings(cpu)), others[0])


def siblings(cpu: int) -> frozenset[int]:
    """The hardware threads of this CPU's core, as far as the kernel tells."""
    try:
        text = Path(f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list").read_text()
        return frozenset(n for part in text.strip().split(",") for n in cpu_range(part))
    except (OSError, ValueError):
        return frozenset({cpu})


def cpu_range(text: str) -> range:
    low, _, high = text.partition("-")
    return range(int(low), int(high or low) + 1)


@contextmanager
def pinned(cpus: frozenset[int]) -> Iterator[None]:
    """Run the block on these CPUs only. Processes started in it inherit that."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cpus)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
