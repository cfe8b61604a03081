# SPDX-License-Identifier: MIT
"""multiprocessing.dummy, as it is: the API over threads."""

import sys
from multiprocessing import dummy
from multiprocessing.dummy import *  # noqa: F403 (for type checkers)
from multiprocessing.dummy import connection

sys.modules[__name__] = dummy
sys.modules[__name__ + ".connection"] = connection
