# SPDX-License-Identifier: MIT
"""Benchmarks of mpfast against multiprocessing; docs/benchmarking.md tells how they are run and read.

`python bench/run.py` is the main job. asv imports this package too and finds the track_ functions of bench/track.py.
"""

import importlib.util
import os
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
SUPPORT = os.path.join(ROOT, "bench", "_support")

# What runs in child processes is imported there by name, and sys.path travels to children. Appended, and never the
# repository: that would put its mpfast before the one that asv has built and installed.
if SUPPORT not in sys.path:
    sys.path.append(SUPPORT)


def command(program: str) -> tuple[str, ...]:
    """How to start a program of bench/run.py in a process of its own."""
    return (sys.executable, os.path.join(ROOT, "bench", "run.py"), program)


def use_main(name: str = "mpfb_main", module: bool = False) -> None:
    """Give children a script of _support as their main module: they shall not import this harness (or asv) instead.

    module: as for `python -m`, by its name.
    """
    main = sys.modules["__main__"]
    main.__file__ = os.path.join(SUPPORT, f"{name}.py")
    main.__spec__ = importlib.util.find_spec(name) if module else None


if str(getattr(sys.modules["__main__"], "__file__", "")).endswith(os.path.join("asv", "benchmark.py")):
    use_main()
