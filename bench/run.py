# SPDX-License-Identifier: MIT
"""The one script of the harness, `python bench/run.py [PROGRAM] ARGUMENT...`. Without a program's name it measures."""

from __future__ import annotations

import importlib
import os
import sys

PROGRAMS = {
    "bench": "bench.main",
    "costs": "bench.costs",
    "gate": "bench.gate.gate",
    "history": "bench.history.history",
    "picture": "bench.page.picture",
    "dashboard": "bench.page.dashboard",
    # The processes that measure. The programs above start them.
    "worker": "bench.measure.worker",
    "bout": "bench.gate.bout",
    "operations": "bench.gate.operations",
}


def main(words: list[str]) -> int | None:
    name = words.pop(0) if words and words[0] in PROGRAMS else "bench"
    status: int | None = importlib.import_module(PROGRAMS[name]).main(words)
    return status


if __name__ == "__main__":
    # Nothing is to be imported from this folder by a bare name. The repository comes last, so that an mpfast on
    # PYTHONPATH comes before the one that lies here.
    sys.path[0:1] = []
    sys.path.append(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    sys.exit(main(sys.argv[1:]))
