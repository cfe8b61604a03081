# SPDX-License-Identifier: MIT
"""multiprocessing.forkserver, as it is."""

import sys
from multiprocessing import forkserver

sys.modules[__name__] = forkserver
