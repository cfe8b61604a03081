# SPDX-License-Identifier: MIT
"""What start() costs, how soon the child runs, and how soon it is gone again."""

from __future__ import annotations

from time import perf_counter_ns
from typing import Any

from mpfb_child import first_byte, nothing

from ..base.errors import CellError
from ..kinds.launch import Children, Launch, Main, elapsed_since

BURST = 32
SHORT_BURST = 8  # of interpreters, each of which takes longer than the others' burst


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


def burst(children: Children, count: int = BURST) -> float:
    processes = [children.make(nothing) for _ in range(count)]
    begin = perf_counter_ns()
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    return elapsed_since(begin)


def many(children: Children) -> float:
    processes = [children.make(nothing) for _ in range(BURST)]
    begin = perf_counter_ns()
    children.start_all(processes)
    for process in processes:
        process.join()
    return elapsed_since(begin)


PRIMITIVE = "Process start"
START = "process.start() returns"
FIRST_LINE = "start() until the child's byte arrives"
START_JOIN = "start() and join()"
ALL = f"{BURST} times start(), then join() (per process)"
MANY = f"start_many() of {BURST}, or {BURST} times start(), then join() (per process)"

PLAIN = (
    Launch("start", "start()", PRIMITIVE, START, start, pattern="start"),
    Launch("first_line", "start() to first line", PRIMITIVE, FIRST_LINE, start_to_first_line, pattern="line"),
    Launch("start_join", "start() and join()", PRIMITIVE, START_JOIN, start_and_join, pattern="join"),
    Launch(
        "burst",
        f"{BURST} processes at once",
        PRIMITIVE,
        ALL,
        burst,
        pattern="burst",
        units=BURST,
        methods=("fork", "forkserver"),
    ),
    Launch(
        "many",
        f"start_many() of {BURST}",
        PRIMITIVE,
        MANY,
        many,
        pattern="burst",
        units=BURST,
        methods=("forkserver",),
    ),
    Launch(
        "short_burst",
        f"{SHORT_BURST} processes at once",
        PRIMITIVE,
        f"{SHORT_BURST} times start(), then join() (per process)",
        lambda children: burst(children, SHORT_BURST),
        pattern="burst",
        units=SHORT_BURST,
        methods=("spawn",),
    ),
)


def with_main(key: str, title: str, main: Main) -> tuple[Launch, ...]:
    """The same where the children's main module takes longer to import, or is found by name."""
    few: dict[str, Any] = {"main": main, "methods": ("forkserver",), "places": ("two_cpus",)}
    return (
        Launch(f"start_{key}", f"start(), {title}", PRIMITIVE, START, start, **few),
        Launch(f"first_line_{key}", f"first line, {title}", PRIMITIVE, FIRST_LINE, start_to_first_line, **few),
        Launch(f"start_join_{key}", f"start() and join(), {title}", PRIMITIVE, START_JOIN, start_and_join, **few),
        Launch(f"burst_{key}", f"{BURST} at once, {title}", PRIMITIVE, ALL, burst, units=BURST, **few),
    )


def beside(megabytes: int) -> Launch:
    """fork() copies the tables of all of its parent's pages."""
    return Launch(
        f"start_join_{megabytes}mb",
        f"start() and join(), {megabytes} MB",
        PRIMITIVE,
        f"{START_JOIN} in a process that has {megabytes} MB",
        start_and_join,
        pattern="join",
        megabytes=megabytes,
        methods=("fork",),
        places=("one_cpu",),
    )


SCENARIOS: tuple[Launch, ...] = (
    *PLAIN,
    *with_main("small", "main with argparse, json, logging", Main("mpfb_small")),
    *with_main("numpy", "main with numpy", Main("mpfb_numpy", needs="numpy")),
    *with_main("module", "main by -m", Main(module=True)),
    *with_main("module_numpy", "main by -m with numpy", Main("mpfb_numpy", module=True, needs="numpy")),
    beside(50),
    beside(500),
)
