# SPDX-License-Identifier: MIT
"""multiprocessing.connection, as it is."""

import sys
from multiprocessing import connection

sys.modules[__name__] = connection
