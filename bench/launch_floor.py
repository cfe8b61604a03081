# SPDX-License-Identifier: MIT
"""What the kernel itself asks for a process, by a program in C: fork and _exit, or vfork and an interpreter."""

from __future__ import annotations

import functools
import os
import shlex
import subprocess
import sys
import sysconfig

from . import ROOT
from .placement import Place

SOURCE = os.path.join(ROOT, "bench", "c", "launch.c")
PROGRAM = os.path.join(ROOT, "build", "bench", "launch")
MILLISECONDS = 60
DEADLINE = 60
# The least that an interpreter can do; `line` is the pattern with something to say.
COMMANDS = {"line": "import os; os.write(1, b'!')", "": "pass"}


def nanoseconds(pattern: str, method: str, place: Place, megabytes: int = 0) -> float | None:
    """Per process; None if there is no C compiler. launch.c knows which patterns there are.

    Below forkserver and fork there is fork(); a fork server cannot do with less either, but can have it done before.
    """
    command = (sys.executable, "-c", COMMANDS.get(pattern, COMMANDS[""])) if method == "spawn" else ()
    return run(pattern, megabytes, place.both, command)


@functools.cache
def run(pattern: str, megabytes: int, cpus: frozenset[int], command: tuple[str, ...]) -> float | None:
    program = build()
    if program is None:
        return None
    arguments = (pattern, megabytes, MILLISECONDS, ",".join(map(str, sorted(cpus))), *command)
    done = subprocess.run(
        (program, *map(str, arguments)), capture_output=True, text=True, timeout=DEADLINE, check=True
    )
    return float(done.stdout)


@functools.cache
def build() -> str | None:
    """The program, compiled anew if its source is newer."""
    try:
        if os.path.getmtime(PROGRAM) > os.path.getmtime(SOURCE):
            return PROGRAM
    except FileNotFoundError:
        os.makedirs(os.path.dirname(PROGRAM), exist_ok=True)
    compiler = shlex.split(os.environ.get("CC", "") or sysconfig.get_config_var("CC") or "cc")
    target = f"{PROGRAM}.{os.getpid()}"
    try:
        subprocess.run((*compiler, "-O2", "-o", target, SOURCE), capture_output=True, timeout=DEADLINE, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    os.replace(target, PROGRAM)
    return PROGRAM
