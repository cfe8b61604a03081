# SPDX-License-Identifier: MIT
"""Care: what a pool asks of its workers beside running tasks. It travels to each of them."""

from __future__ import annotations

import faulthandler
import os
import sys
from multiprocessing import process

from ..launch.life import name_process

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

__all__ = ["Care", "memory_of", "private_memory", "settle_in"]

PAGE = os.sysconf("SC_PAGESIZE")


class Care:
    """state: makes what each task is given first. exit: is called in a worker that ends in order. memory: bytes.

    trace: are the stacks of a worker that crashes to be printed?
    """

    def __init__(
        self,
        state: Callable[[], object] | None = None,
        exit: Callable[..., object] | None = None,
        memory: int | None = None,
        trace: bool = False,
    ) -> None:
        self.state, self.exit, self.memory, self.trace = state, exit, memory, trace

    def is_full(self) -> bool:
        """Has this process more memory than it may have?"""
        return self.memory is not None and private_memory() > self.memory


def memory_of(pid: int | str) -> tuple[int, int]:
    """The bytes of a process's resident memory, and how many of them it shares through files or mappings. OSError."""
    with open(f"/proc/{pid}/statm", "rb", buffering=0) as file:
        resident, shared = file.read(256).split()[1:3]
    return int(resident) * PAGE, int(shared) * PAGE


def private_memory() -> int:
    """The bytes of resident memory that this process does not share."""
    resident, shared = memory_of("self")
    return resident - shared


def settle_in(kind: str, care: Care | None) -> None:
    """Called in a new worker. Gives it its name for ps, and lets it have children."""
    current: Any = process.current_process()
    current._mpfast_may_have_children = True  # daemons may not have any, but those of a worker end with it
    name_process(f"{kind}-{current.name.rpartition('-')[2]}")
    if care is not None and care.trace and sys.stderr is not None:
        try:
            faulthandler.enable()
        except (AttributeError, ValueError, OSError, RuntimeError):  # sys.stderr is no file
            faulthandler.enable(2)
