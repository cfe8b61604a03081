# SPDX-License-Identifier: MIT
"""What a queue says of itself."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["QueueStats"]


class QueueStats(NamedTuple):
    """What a queue's stats() says: a snapshot, each number true at some instant during the call.

    size: items that are there; put: that ever were; unfinished: for which task_done() was not called.
    bytes: memory that the queue has for items; idle: about how much of it is free, kept because new memory is slow.
    """

    size: int
    put: int
    unfinished: int
    bytes: int
    idle: int


QueueStats.__module__ = "mpfast.diagnostics"  # its public name, for pickles
