# SPDX-License-Identifier: MIT
"""Benchmarks of mpfast against multiprocessing. docs/benchmarking.md tells how they are run and read.

`python bench/run.py` is the main job. asv imports this package too and finds the track_ functions of bench/track.py.

The rooms, and which of them each may import. A row names rows above it only, and a test checks every import
(tests/bench/test_bench_rooms.py).

    room       what is in it                                              may import
    _support   what the children of a benchmark import, by bare name      nothing
    base       the two implementations, facts, placement, numbers         nothing
    floors     what the machine itself takes, by the programs in c/       base
    kinds      the shapes of a scenario: alone, duo, crowd, launch        _support base floors
    suites     what is measured: lists of scenarios, and the plan         _support base kinds
    measure    the process that measures, its parent, the results         _support base kinds suites
    track      the same cells for asv                                     base kinds suites measure
    gate       commit against commit                                      base kinds suites measure
    counts     system calls and instructions of single operations         nothing
    history    recording commits with asv, and reading that back          base track
    page       table, page, dashboard: how results are shown              base floors kinds measure history
    costs      what mpfast adds to a program's start                      base
    main       the command line of make bench                             base floors kinds suites measure history page
    run        the script that starts each of the programs                measure gate history page costs main
"""

import importlib.util
import os
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
SUPPORT = os.path.join(ROOT, "bench", "_support")

# What runs in child processes is imported there by name, and sys.path travels to children. Appended, and never the
# repository, which would put its mpfast before the one that asv has built and installed.
if SUPPORT not in sys.path:
    sys.path.append(SUPPORT)


def command(program: str) -> tuple[str, ...]:
    """How to start a program of bench/run.py in a process of its own."""
    return (sys.executable, os.path.join(ROOT, "bench", "run.py"), program)


def use_main(name: str = "mpfb_main", module: bool = False) -> None:
    """Give children a script of _support as their main module, so that they do not import this harness or asv instead.

    With `module` they find it by its name, as after `python -m`.
    """
    main = sys.modules["__main__"]
    main.__file__ = os.path.join(SUPPORT, f"{name}.py")
    main.__spec__ = importlib.util.find_spec(name) if module else None


if str(getattr(sys.modules["__main__"], "__file__", "")).endswith(os.path.join("asv", "benchmark.py")):
    use_main()
