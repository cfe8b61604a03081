# SPDX-License-Identifier: MIT
"""What a pool says of itself and its workers."""

from __future__ import annotations

import time
from typing import Any, NamedTuple

from .care import memory_of

__all__ = ["PoolStats", "WorkerStats", "of_pool"]


class WorkerStats(NamedTuple):
    """What stats() says of a worker.

    done is the number of tasks whose outcomes have come from it, an element of a map being one task. task says what it
    runs, and seconds for how long. Both are None if it waits for a task, or is about to take one. memory is its
    resident memory in bytes, and 0 if it has just ended.
    """

    pid: int
    done: int
    task: str | None
    seconds: float | None
    memory: int


class PoolStats(NamedTuple):
    """What a pool's or an executor's stats() says. It is a snapshot, and workers go on meanwhile.

    A task is a call, or an element of a map. queued tasks wait for a worker, and running ones are run. done is the
    number of those whose outcomes have come from a worker since the pool was made. deaths is the number of workers that
    have ended. redealt is how often tasks were dealt again because the worker that had them has died, or ran another
    one for too long. workers are the workers that there are.
    """

    queued: int
    running: int
    done: int
    deaths: int
    redealt: int
    workers: tuple[WorkerStats, ...]


def of_pool(desk: Any) -> PoolStats:
    """Counts in the desk of a pool, which may be that of an executor. It does not block."""
    desk.look()
    runs = desk.running_tasks()
    now = time.monotonic_ns()
    workers = []
    for number, worker in sorted(desk.crew.numbers.items()):
        pid = getattr(worker, "pid", None)
        if pid is None or desk.stopped:
            continue  # it is about to be started, or has ended
        task, began = runs.get(pid, (None, None))
        seconds = None if began is None else max(0, now - began) / 1e9
        workers.append(WorkerStats(pid, desk.done_by(number), task, seconds, _memory(pid)))
    running = sum(worker.task is not None for worker in workers)
    queued = max(0, desk.open_tasks() - running)
    return PoolStats(queued, running, desk.done, desk.deaths, desk.redealt + desk.recalls, tuple(workers))


def _memory(pid: int) -> int:
    try:
        return memory_of(pid)[0]
    except (OSError, ValueError):  # an ended process has no pages to tell of
        return 0
