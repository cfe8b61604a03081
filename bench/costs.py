# SPDX-License-Identifier: MIT
"""What mpfast costs a program before it does anything, in its start, its imports and its first process. And the memory
of a task that waits for a worker.

Fresh interpreters run in pairs, one after the other on one CPU, with their bytecode compiled before. mpfast goes first
in every other round.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import median
from time import perf_counter_ns

from . import ROOT
from .base.countdown import Countdown
from .base.placement import pinned, place
from .base.stats import interval_of_median

ROUNDS = 31
DEADLINE = 60
MODULES = ("context", "queues", "synchronize", "connection")
THEIRS = "import " + ", ".join(f"multiprocessing.{name}" for name in MODULES)
OURS = "import mpfast, mpfast.queues, mpfast.synchronize, mpfast.connection"
# The program clocks itself. Seen from outside, the start of the interpreter would hide an import.
TIMED = "from time import perf_counter_ns as now; begin = now(); {}; print(now() - begin)"
FIRST = (
    "import {package}; process = {package}.get_context({method!r}).Process(target=int); process.start(); process.join()"
)
# Resident memory that grows while calls are made that nobody can run yet.
QUEUED = """
import time
import {package}
def resident():
    with open("/proc/self/smaps_rollup") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith("Rss:"))
pool = {package}.get_context("fork").Pool(1)
pool.apply(abs, (0,))
held = pool.apply_async(time.sleep, (60,))
results = [None] * 7000
for n in range(7000):
    if n == 1000:
        before = resident()
    results[n] = pool.apply_async(abs, (n,))
print((resident() - before) / 6000)
pool.terminate()
"""


@dataclass(frozen=True)
class Cost:
    title: str
    ours: tuple[str, ...]
    theirs: tuple[str, ...]
    limit: float  # milliseconds more, or how many times as long
    differs: bool = False  # the limit is on the difference
    inside: bool = True  # the program says how long it took
    unit: str = "ms"
    scale: float = 1e6  # of what the program says to the unit

    def compare(self, ours: float, theirs: float) -> float:
        return (ours - theirs) / 1e6 if self.differs else ours / theirs


def imports(title: str, line: str) -> Cost:
    return Cost(title, ("-c", TIMED.format(line)), ("-c", TIMED.format(THEIRS)), 1.5)


def first(method: str) -> Cost:
    """Includes imports, because either package leaves most of them to the first start()."""
    ours, theirs = (TIMED.format(FIRST.format(package=name, method=method)) for name in ("mpfast", "multiprocessing"))
    return Cost(f"first start() and join(), {method}", ("-c", ours), ("-c", theirs), 1)


def queued() -> Cost:
    ours, theirs = (QUEUED.format(package=name) for name in ("mpfast", "multiprocessing"))
    return Cost("a task that waits in a pool", ("-c", ours), ("-c", theirs), 0.5, unit="B", scale=1)


COSTS = (
    Cost(
        "python -m mpfast -c pass",
        ("-m", "mpfast", "-c", "pass"),
        ("-c", "import multiprocessing"),
        limit=15,
        differs=True,
        inside=False,
    ),
    imports("import mpfast", "import mpfast"),
    imports("and its queues, locks, connections", OURS),
    *(first(method) for method in ("fork", "forkserver", "spawn")),
    queued(),
)


def nanoseconds(cost: Cost, arguments: Sequence[str], environment: dict[str, str]) -> float:
    command = (sys.executable, *arguments)
    begin = perf_counter_ns()
    done = subprocess.run(
        command, env=environment, stdout=subprocess.PIPE, text=True, timeout=DEADLINE, check=True, cwd=ROOT
    )
    return float(done.stdout) if cost.inside else perf_counter_ns() - begin


def measure(rounds: int) -> dict[Cost, list[tuple[float, float]]]:
    """Pairs of ours and theirs. The first round is left out, because it may have bytecode to compile."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    pairs: dict[Cost, list[tuple[float, float]]] = {cost: [] for cost in COSTS}
    progress = Countdown((rounds + 1) * len(COSTS), sys.stderr)
    for turn in range(rounds + 1):
        for cost in COSTS:
            progress.step(cost.title)
            sides = (cost.ours, cost.theirs) if turn % 2 else (cost.theirs, cost.ours)
            times = [nanoseconds(cost, side, environment) for side in sides]
            if turn:
                pairs[cost].append((times[0], times[1]) if turn % 2 else (times[1], times[0]))
    progress.close()
    return pairs


def lines(pairs: dict[Cost, list[tuple[float, float]]]) -> Iterator[str]:
    yield f"{'':36}{'mpfast':>10}{'stdlib':>10}   mpfast against multiprocessing (95 %)"
    for cost, samples in pairs.items():
        compared = [cost.compare(*pair) for pair in samples]
        low, high, _ = interval_of_median(compared)
        ours, theirs = (median(side) / cost.scale for side in zip(*samples, strict=True))
        sign, unit = ("+", " ms") if cost.differs else ("", "x")
        verdict = "within" if high <= cost.limit else "ABOVE" if low > cost.limit else "not clearly within"
        yield (
            f"{cost.title:36}{ours:7.2f} {cost.unit:2}{theirs:7.2f} {cost.unit:2}   {median(compared):{sign}.2f}{unit} "
            f"({low:.2f} to {high:.2f}), {verdict} {cost.limit:g}{unit}"
        )


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="make costs", description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS, help=f"pairs of each (default {ROUNDS})")
    rounds = max(1, parser.parse_args(arguments).rounds)
    with pinned(place("one_cpu", frozenset(os.sched_getaffinity(0))).own):
        print(*lines(measure(rounds)), sep="\n")
