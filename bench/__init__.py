# SPDX-License-Identifier: MIT
"""Benchmarks of mpfast against multiprocessing; docs/benchmarking.md tells how they are run and read.

`python bench/run.py` is the main job. asv imports this package too and finds the track_ functions of bench/track.py.
"""

import os
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
SUPPORT = os.path.join(ROOT, "bench", "_support")

# What runs in child processes is imported there by name, and sys.path travels to children. Appended, and never the
# repository: that would put its mpfast before the one that asv has built and installed.
if SUPPORT not in sys.path:
    sys.path.append(SUPPORT)


def use_stub_main() -> None:
    """Give children an empty script as their main module, so that they do not import this harness (or asv) instead."""
    main = sys.modules["__main__"]
    main.__file__ = os.path.join(SUPPORT, "mpfb_main.py")
    main.__spec__ = None


if str(getattr(sys.modules["__main__"], "__file__", "")).endswith(os.path.join("asv", "benchmark.py")):
    use_stub_main()
