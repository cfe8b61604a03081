# SPDX-License-Identifier: MIT
"""What the machine itself takes for what a cell cannot do without: an atomic operation, a turn, a copy, a process.

Floors of the kernel and of the CPU, measured in C by c/yardsticks.c in a second, to see how much above them is left.
"""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

from .scenario import Cell

SOURCE = Path(__file__).with_name("c") / "yardsticks.c"
COMPILE = ("cc", "-std=gnu11", "-D_GNU_SOURCE", "-O2")
SECONDS = 30

NAMES = {
    "swap": "an atomic swap",
    "call": "a system call",
    "fork": "fork, exit and wait",
    "turn_one_cpu": "a turn there and back by futex on one CPU",
    "turn_two_cpus": "a cache line there and back between two CPUs",
    "copy_1k": "memcpy of 1 KiB",
    "copy_64k": "memcpy of 64 KiB",
    "copy_1m": "memcpy of 1 MiB",
    "copy_64m": "memcpy of 64 MiB",
}
COPIES = {"1 KiB": "copy_1k", "64 KiB": "copy_64k", "1 MiB": "copy_1m", "64 MiB": "copy_64m"}
ROUND_TRIPS = ("ping-pong", "round trip")


def measure() -> dict[str, float]:
    """Nanoseconds by name; nothing where there is no compiler. Blocks for a second."""
    with tempfile.TemporaryDirectory() as folder:
        program = str(Path(folder, "yardsticks"))
        try:
            subprocess.run((*COMPILE, "-o", program, str(SOURCE)), capture_output=True, timeout=SECONDS, check=True)
            done = subprocess.run((program,), capture_output=True, text=True, timeout=SECONDS, check=True)
        except (OSError, subprocess.SubprocessError):
            return {}
    found = (line.split() for line in done.stdout.splitlines())
    return {name: float(value) for name, value in found}


def name_of(cell: Cell) -> str:
    """What a cell cannot be faster than, or "" if nothing of the kind can be said."""
    scenario = cell.scenario
    if scenario.kind == "launch":
        return "fork"
    for size, name in COPIES.items():
        if scenario.payload.startswith(size) and "array" not in scenario.payload:
            return name
    if any(words in scenario.title for words in ROUND_TRIPS):
        return f"turn_{cell.placement}"
    return "" if scenario.key.startswith("make_") or scenario.key == "event_is_set" else "swap"
