# SPDX-License-Identifier: MIT
"""multiprocessing.process, as it is."""

import sys
from multiprocessing import process

sys.modules[__name__] = process
