# SPDX-License-Identifier: MIT
"""Where the classes of multiprocessing were that the stand-in has replaced, for old pickles."""

import sys

from mpfast.standin import stdlib

sys.modules[__name__] = stdlib
