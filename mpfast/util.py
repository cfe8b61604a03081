# SPDX-License-Identifier: MIT
"""multiprocessing.util, as it is."""

import sys
from multiprocessing import util
from multiprocessing.util import *  # noqa: F403 (for type checkers)

sys.modules[__name__] = util
