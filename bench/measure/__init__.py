# SPDX-License-Identifier: MIT
"""Measures a cell. Here are the process that does it, the process that watches it, and what was found."""
