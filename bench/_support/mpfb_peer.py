# SPDX-License-Identifier: MIT
"""The peer of a two-process benchmark. It waits in a pipe for orders and plays its part of a batch."""

from __future__ import annotations

import ctypes
import os
import signal
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from time import perf_counter_ns
from typing import Any

Play = Callable[[Any, int, int], None]

PR_SET_PDEATHSIG = 1
IDLE_SECONDS = 120  # between orders, while the other implementation's peer works


def die_with_parent() -> None:
    """Nothing of a benchmark outlives it, not even when it is killed."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def serve(link: Connection, play: Play, things: Any, cpus: frozenset[int], seconds: float) -> None:
    """Answer each order (a number of operations, 0 to end) with "ready" and then with when the work began and ended."""
    signal.signal(signal.SIGALRM, signal.SIG_DFL)  # the kernel ends a peer that hangs, whatever it hangs in
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    die_with_parent()
    try:
        os.sched_setaffinity(0, cpus)
        link.send(("made of", [f"{type(t).__module__}.{type(t).__qualname__}" for t in things.measured]))
        follow_orders(link, play, things, max(1, round(seconds)))
    except BaseException:
        link.send(("failed", traceback.format_exc()))
        raise SystemExit(1) from None


def follow_orders(link: Connection, play: Play, things: Any, seconds: int) -> None:
    while True:
        signal.alarm(IDLE_SECONDS)
        count = link.recv()
        if not count:
            return
        signal.alarm(seconds)
        link.send(("ready", None))
        begin = perf_counter_ns()
        play(things, 1, count)
        link.send(("times", (begin, perf_counter_ns())))
