# SPDX-License-Identifier: MIT
"""Compiling the programs in bench/c when they are needed."""

from __future__ import annotations

import os
import shlex
import subprocess
import sysconfig

DEADLINE = 60


def compiled(source: str, program: str) -> str | None:
    """The program, compiled anew if its source is newer. None if there is no C compiler."""
    try:
        if os.path.getmtime(program) > os.path.getmtime(source):
            return program
    except FileNotFoundError:
        os.makedirs(os.path.dirname(program), exist_ok=True)
    compiler = shlex.split(os.environ.get("CC", "") or sysconfig.get_config_var("CC") or "cc")
    target = f"{program}.{os.getpid()}"
    try:
        subprocess.run((*compiler, "-O2", "-o", target, source), capture_output=True, timeout=DEADLINE, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    os.replace(target, program)
    return program
