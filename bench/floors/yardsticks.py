# SPDX-License-Identifier: MIT
"""What the machine itself takes for what a cell cannot do without: an atomic operation, a turn, a copy, a process.

Floors of the kernel and of the CPU, measured in C by c/yardsticks.c in a second, to see how much above them is left.
"""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

from .. import ROOT

SOURCE = Path(ROOT, "bench", "c", "yardsticks.c")
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
