# SPDX-License-Identifier: MIT
"""multiprocessing.heap, as it is."""

import sys
from multiprocessing import heap
from multiprocessing.heap import *  # noqa: F403 (for type checkers)

sys.modules[__name__] = heap
