# SPDX-License-Identifier: MIT
"""multiprocessing.reduction, as it is."""

import sys
from multiprocessing import reduction
from multiprocessing.reduction import *  # noqa: F403 (for type checkers)

sys.modules[__name__] = reduction
