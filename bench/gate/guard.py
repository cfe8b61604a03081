# SPDX-License-Identifier: MIT
"""Counts the system calls and instructions of one operation. Noise cannot change them as it changes times.

One process does n operations and another 2n. The difference, divided by n, is what an operation takes. strace counts
the calls, valgrind the instructions in user space. Only scenarios of one process are counted, because what two
processes do to each other differs each time.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from operator import call
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from .. import command
from ..kinds.scenario import Cell
from .builds import Build

OPERATIONS = 500
DEADLINE = 120
MORE = 1.05  # instructions: a compiler may move a few


@dataclass(frozen=True)
class Tool:
    unit: str
    program: str
    arguments: tuple[str, ...]
    found: str  # a pattern for the number in what it writes
    allowed: float  # so many times the base's count are no alarm

    @property
    def there(self) -> bool:
        return shutil.which(self.program) is not None


CALLS = Tool(
    "system calls",
    "strace",
    ("-f", "-c", "-o", "{out}"),
    r"(?m)^\s*100\.00\s+\S+\s+(?:\d+\s+)?(\d+)\s+(?:\d+ )?total",
    1,
)
INSTRUCTIONS = Tool(
    "instructions",
    "valgrind",
    ("--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null", "--log-file={out}"),
    r"I\s+refs:\s+([\d,]+)",
    MORE,
)
TOOLS = (CALLS, INSTRUCTIONS)


class CountError(Exception):
    """The tool gave no number."""


@dataclass(frozen=True)
class Count:
    """What one operation takes of a unit, in either build."""

    cell: Cell
    tool: Tool
    base: float
    head: float

    @property
    def more(self) -> bool:
        return self.head > self.base * self.tool.allowed + 0.005

    def as_json(self) -> dict[str, Any]:
        return {"key": self.cell.key, "unit": self.tool.unit, "base": self.base, "head": self.head, "more": self.more}


def counts(cells: list[Cell], builds: tuple[Build, Build]) -> Iterator[Count]:
    """On all CPUs at once, because it is not time that is measured."""
    jobs = [partial(both, cell, tool, builds) for cell in cells for tool in TOOLS if tool.there]
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as executor:
        try:
            yield from executor.map(call, jobs)
        finally:
            executor.shutdown(cancel_futures=True)


def both(cell: Cell, tool: Tool, builds: tuple[Build, Build]) -> Count:
    base, head = (per_operation(cell, build, tool) for build in builds)
    return Count(cell, tool, base, head)


def per_operation(cell: Cell, build: Build, tool: Tool) -> float:
    once, twice = (count(cell, build, tool, n) for n in (OPERATIONS, 2 * OPERATIONS))
    return round((twice - once) / OPERATIONS, 2)


def count(cell: Cell, build: Build, tool: Tool, operations: int) -> int:
    with TemporaryDirectory() as folder:
        out = Path(folder, "count")
        arguments = [argument.format(out=out) for argument in tool.arguments]
        job = (*command("operations"), cell.key, str(operations))
        counted = ("setarch", "-R", tool.program, *arguments, *job)
        unwritten = {**build.environment(), "PYTHONDONTWRITEBYTECODE": "1"}  # else the first run does more
        try:
            done = subprocess.run(counted, env=unwritten, capture_output=True, text=True, timeout=DEADLINE, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise CountError(f"{tool.program}: {error}") from None
        match = re.search(tool.found, out.read_text() if out.exists() else "")
        if done.returncode or not match:
            raise CountError(f"{tool.program} counted nothing for {cell.key} ({build.name}):\n{done.stderr[-1000:]}")
    return int(match[1].replace(",", ""))
