# SPDX-License-Identifier: MIT
"""The main module of a small program. It imports what its processes are to run."""

import mpfb_child  # noqa: F401
