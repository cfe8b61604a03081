# SPDX-License-Identifier: MIT
"""A main module with an import that takes its time."""

import numpy  # noqa: F401
