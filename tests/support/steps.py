# SPDX-License-Identifier: MIT
"""Kills one process of a program before or after one of its system calls, with preload/step.c."""

import os
import shlex
import shutil
import subprocess
from pathlib import Path

import programs
import pytest

SOURCE = Path(__file__).parents[1] / "preload" / "step.c"


def compiled(tmp_path_factory):
    """The path of the library that does it."""
    compiler = shlex.split(os.environ.get("CC", "cc"))
    if shutil.which(compiler[0]) is None:
        pytest.skip("no C compiler")
    path = tmp_path_factory.mktemp("preload") / "step.so"
    flags = ("-std=gnu11", "-D_GNU_SOURCE", "-shared", "-fPIC", "-O1")
    subprocess.run([*compiler, *flags, "-o", path, SOURCE, "-ldl"], check=True)
    return path


def kill_at(library, place, role, moment, program, tells):
    """Was there such a moment, and what did the program say? tells: "table" is the way of older kernels."""
    done = place / f"{role}-{moment}"
    preload = " ".join([*os.environ.get("LD_PRELOAD", "").split(), str(library)])  # a sanitizer's comes first
    said = programs.run(
        program,
        LD_PRELOAD=preload,
        MPFAST_STEP_ROLE=role,
        MPFAST_STEP=str(moment),
        MPFAST_STEP_DONE=str(done),
        MPFAST_LAUNCH="table" if tells == "table" else "",
    )
    return done.exists(), said


def sweep(library, place, role, moments, program, check, tells):
    """Kills the process of this role at each of the moments. check(said) looks at it. Returns how many there were."""
    count = 0
    for moment in moments:
        killed, said = kill_at(library, place, role, moment, program, tells)
        if not killed:
            assert said.code == 0, said
            return count
        check(said)
        count += 1
    return count
