# SPDX-License-Identifier: MIT
"""What stats() of a shared Dict or List gives."""

from __future__ import annotations

from typing import NamedTuple


class TableStats(NamedTuple):
    """How large a shared Dict or List is. Each number was true at some instant during the call.

    size: keys or items. memory: bytes of blocks that have keys or values. idle: bytes of large blocks that are free and
    kept. repairs: how often a writer was killed in the middle of a change, and the next one repaired what it left.
    """

    size: int
    memory: int
    idle: int
    repairs: int
