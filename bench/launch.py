# SPDX-License-Identifier: MIT
"""Starting processes: what start() costs, when the child runs, and when it is gone again."""

from __future__ import annotations

from time import perf_counter_ns

from mpfb_child import first_byte, nothing

from .errors import CellError
from .launching import Children, Launch, elapsed_since

BURST = 32


def start(children: Children) -> float:
    process = children.make(nothing)
    begin = perf_counter_ns()
    process.start()
    return elapsed_since(begin)


def start_to_first_line(children: Children) -> float:
    ours, theirs = children.pipe()
    process = children.make(first_byte, theirs)
    begin = perf_counter_ns()
    process.start()
    theirs.close()
    try:
        ours.recv_bytes()
    except EOFError:
        raise CellError("a child ended before its first line") from None
    took = elapsed_since(begin)
    ours.close()
    return took


def start_and_join(children: Children) -> float:
    process = children.make(nothing)
    begin = perf_counter_ns()
    process.start()
    process.join()
    return elapsed_since(begin)


def burst(children: Children) -> float:
    processes = [children.make(nothing) for _ in range(BURST)]
    begin = perf_counter_ns()
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    return elapsed_since(begin)


SCENARIOS: tuple[Launch, ...] = (
    Launch("start", "start", "Process start", "process.start() returns", start),
    Launch(
        "first_line",
        "start to first line",
        "Process start",
        "start() until the child's byte arrives",
        start_to_first_line,
    ),
    Launch("start_join", "start and join", "Process start", "start(); join()", start_and_join),
    Launch(
        "burst",
        f"burst of {BURST}",
        "Process start",
        f"{BURST} times start(), then join() (per process)",
        burst,
        units=BURST,
    ),
)
