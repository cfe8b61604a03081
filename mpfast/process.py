# SPDX-License-Identifier: MIT
"""multiprocessing.process, as it is."""

import sys
from multiprocessing import process
from multiprocessing.process import *  # noqa: F403 (for type checkers)

sys.modules[__name__] = process
