# SPDX-License-Identifier: MIT
"""multiprocessing.resource_tracker, as it is."""

import sys
from multiprocessing import resource_tracker
from multiprocessing.resource_tracker import *  # noqa: F403 (for type checkers)

sys.modules[__name__] = resource_tracker
