# SPDX-License-Identifier: MIT
"""multiprocessing.popen_fork, as it is."""

import sys
from multiprocessing import popen_fork
from multiprocessing.popen_fork import *  # noqa: F403 (for type checkers)

sys.modules[__name__] = popen_fork
