# SPDX-License-Identifier: MIT
"""What exists in shared memory, which process holds it, and which threads wait for it."""

from __future__ import annotations

from typing import NamedTuple

from .channel.stats import QueueStats

__all__ = ["LockInfo", "QueueStats", "Waiter", "locks"]


class Waiter(NamedTuple):
    """A thread that sleeps on an object."""

    pid: int
    tid: int
    seconds: float


class LockInfo(NamedTuple):
    """One object of the lock family, a queue, or a shared Dict or List.

    state: 'free', 'held', 'left held' (the holder ended without releasing it), 'abandoned' (the holder was killed), or
    the value of a semaphore, event or barrier as text. holder_pid and holder_tid are 0 where there is no holder. A Dict
    or List has those of its writers' lock. repairs: how often a writer of it was killed in the middle of a change.
    """

    kind: str
    slot: int
    state: str
    holder_pid: int
    holder_tid: int
    waiters: tuple[Waiter, ...]
    repairs: int = 0


def locks() -> list[LockInfo]:
    """Lists the objects of this process's family that exist now, with their holders and their waiters.

    Does not block. Each entry was true at some instant during the call.
    """
    from .family import census

    return [
        LockInfo(kind, slot, state, pid, tid, tuple(Waiter(*waiter) for waiter in waiters), repairs)
        for kind, slot, state, pid, tid, waiters, repairs in census.objects()
    ]
