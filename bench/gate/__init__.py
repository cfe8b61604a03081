# SPDX-License-Identifier: MIT
"""Commit against commit: `make gate`."""
