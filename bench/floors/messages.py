# SPDX-License-Identifier: MIT
"""What the kernel itself takes for the same message, by a program in C. No implementation can be much faster."""

from __future__ import annotations

import functools
import os
import subprocess
from dataclasses import dataclass

from .. import ROOT
from ..base.placement import Place
from .program import DEADLINE, compiled

SOURCE = os.path.join(ROOT, "bench", "c", "floor.c")
PROGRAM = os.path.join(ROOT, "build", "bench", "floor")
MILLISECONDS = 25


@dataclass(frozen=True)
class Floor:
    """A pattern of messages on a wire. floor.c knows which there are."""

    pattern: str
    wire: str
    size: int  # bytes of a message with its header

    def nanoseconds(self, place: Place) -> float | None:
        """None if there is no C compiler."""
        return run(self, min(place.own), min(place.peer))


@functools.cache
def run(floor: Floor, cpu: int, peer_cpu: int) -> float | None:
    program = build()
    if program is None:
        return None
    arguments = (floor.pattern, floor.wire, floor.size, cpu, peer_cpu, MILLISECONDS)
    done = subprocess.run((program, *map(str, arguments)), capture_output=True, text=True, timeout=DEADLINE, check=True)
    return float(done.stdout)


@functools.cache
def build() -> str | None:
    return compiled(SOURCE, PROGRAM)
