# SPDX-License-Identifier: MIT
"""multiprocessing.popen_forkserver, as it is."""

import sys
from multiprocessing import popen_forkserver
from multiprocessing.popen_forkserver import *  # noqa: F403 (for type checkers)

sys.modules[__name__] = popen_forkserver
