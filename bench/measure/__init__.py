# SPDX-License-Identifier: MIT
"""Measuring a cell: the process that does it, the process that watches it, and what was found."""
