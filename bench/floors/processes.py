# SPDX-License-Identifier: MIT
"""What the kernel itself takes for a process, by a program in C that forks, or starts an interpreter by vfork."""

from __future__ import annotations

import functools
import os
import subprocess
import sys

from .. import ROOT
from ..base.placement import Place
from .program import DEADLINE, compiled

SOURCE = os.path.join(ROOT, "bench", "c", "launch.c")
PROGRAM = os.path.join(ROOT, "build", "bench", "launch")
MILLISECONDS = 60
# The least that an interpreter can do. In the pattern `line` it has something to say.
COMMANDS = {"line": "import os; os.write(1, b'!')", "": "pass"}


def nanoseconds(pattern: str, method: str, place: Place, megabytes: int = 0) -> float | None:
    """For each process. None if there is no C compiler. launch.c knows which patterns there are.

    The floor of fork and of forkserver is fork(). A fork server needs one too, but may have done it before.
    """
    command = (sys.executable, "-c", COMMANDS.get(pattern, COMMANDS[""])) if method == "spawn" else ()
    return run(pattern, megabytes, place.both, command)


@functools.cache
def run(pattern: str, megabytes: int, cpus: frozenset[int], command: tuple[str, ...]) -> float | None:
    program = compiled(SOURCE, PROGRAM)
    if program is None:
        return None
    arguments = (pattern, megabytes, MILLISECONDS, ",".join(map(str, sorted(cpus))), *command)
    done = subprocess.run((program, *map(str, arguments)), capture_output=True, text=True, timeout=DEADLINE, check=True)
    return float(done.stdout)
