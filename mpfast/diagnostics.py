# SPDX-License-Identifier: MIT
"""Who holds what, and who waits for it: mpfast.locks()."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["LockInfo", "QueueStats", "Waiter", "locks"]


class Waiter(NamedTuple):
    """A thread that sleeps on an object."""

    pid: int
    tid: int
    seconds: float


class LockInfo(NamedTuple):
    """One object of the lock family.

    state: 'free', 'held', 'left held' (the holder ended without releasing it), 'abandoned' (the holder was killed), or
    the value of a semaphore, event or barrier as text. holder_pid and holder_tid are 0 where there is no holder.
    """

    kind: str
    slot: int
    state: str
    holder_pid: int
    holder_tid: int
    waiters: tuple[Waiter, ...]


class QueueStats(NamedTuple):
    """What a queue's stats() says: a snapshot, each number true at some instant during the call.

    size: items that are there; put: that ever were; unfinished: for which task_done() was not called.
    bytes: memory that the queue has for items; idle: about how much of it is free, kept because new memory is slow.
    """

    size: int
    put: int
    unfinished: int
    bytes: int
    idle: int


def locks() -> list[LockInfo]:
    """Lists the objects of this process's family that exist now, with who holds and who waits. Does not block.

    A snapshot: each entry was true at some instant during the call.
    """
    from . import census

    return [
        LockInfo(kind, slot, state, pid, tid, tuple(Waiter(*waiter) for waiter in waiters))
        for kind, slot, state, pid, tid, waiters in census.objects()
    ]
