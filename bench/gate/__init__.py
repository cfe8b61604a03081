# SPDX-License-Identifier: MIT
"""Commit against commit, for `make gate`."""
