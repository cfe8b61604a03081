# SPDX-License-Identifier: MIT
"""The same with an import that takes its time."""

import mpfb_child  # noqa: F401
import numpy  # noqa: F401
