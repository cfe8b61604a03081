# SPDX-License-Identifier: MIT
"""What the machine itself takes for an atomic operation, a turn, a copy or a process. No cell can do with less.

c/yardsticks.c measures these floors in a second. They show how much of a time could still be saved.
"""

from __future__ import annotations

import os
import subprocess

from .. import ROOT
from .program import DEADLINE, compiled

SOURCE = os.path.join(ROOT, "bench", "c", "yardsticks.c")
PROGRAM = os.path.join(ROOT, "build", "bench", "yardsticks")

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
    """Nanoseconds by name. Empty if there is no compiler. Blocks for a second."""
    program = compiled(SOURCE, PROGRAM)
    if program is None:
        return {}
    try:
        done = subprocess.run((program,), capture_output=True, text=True, timeout=DEADLINE, check=True)
    except (OSError, subprocess.SubprocessError):
        return {}
    found = (line.split() for line in done.stdout.splitlines())
    return {name: float(value) for name, value in found}
