# SPDX-License-Identifier: MIT
"""What a queue says of itself."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["QueueStats"]


class QueueStats(NamedTuple):
    """What a queue's stats() says. It is a snapshot, and each number is true at some instant during the call.

    size is the number of items that are there, put of those that ever were, and unfinished of those for which
    task_done() was not called. bytes is the memory that the queue has for items. idle is about how much of it is free,
    and is kept because new memory is slow.
    """

    size: int
    put: int
    unfinished: int
    bytes: int
    idle: int


QueueStats.__module__ = "mpfast.diagnostics"  # its public name, for pickles
