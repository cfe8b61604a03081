# SPDX-License-Identifier: MIT
"""Programs that start processes where there is little room."""

import os
import shutil
import subprocess

import little_room
import programs
import pytest
from harness import PATIENCE


@pytest.fixture
def program(mp, method, tmp_path):
    """program(main, *before, **options): runs little_room's program with these statements as its main part."""

    def run(main, *before, **options):
        names = {"mp": mp.__name__, "method": repr(method)}
        main = main.strip("\n").replace("\n", "\n    ")
        script = programs.write(tmp_path / "program.py", little_room.PROGRAM, main=main, **names)
        return programs.run(script, before=before, **options)

    return run


@pytest.fixture
def no_memory(tmp_path):
    """The environment of a program in which fork() fails while a file exists."""
    compiler = shutil.which(os.environ.get("CC", "cc").split()[0])
    if compiler is None:
        pytest.skip("no C compiler")
    source = programs.write(tmp_path / "shim.c", little_room.SHIM)
    library = tmp_path / "shim.so"
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True, timeout=PATIENCE)
    preload = " ".join([*os.environ.get("LD_PRELOAD", "").split(), str(library)])  # a sanitizer's comes first
    return {"LD_PRELOAD": preload, "MPFAST_TEST_NO_FORK": str(tmp_path / "flag")}
