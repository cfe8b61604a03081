# SPDX-License-Identifier: MIT
"""The former home of the classes of multiprocessing that the stand-in replaces, for old pickles."""

import sys

from mpfast.standin import stdlib

sys.modules[__name__] = stdlib
