# SPDX-License-Identifier: MIT
"""Pairs of sockets that are no standard streams, even in a program that was started with some of those closed."""

from __future__ import annotations

import socket

from ..child import above

__all__ = ["pair"]


def pair() -> tuple[socket.socket, socket.socket]:
    """Returns the two ends, for hand-offs. OSError."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    return _above(ours), _above(theirs)


def _above(end: socket.socket) -> socket.socket:
    return end if end.fileno() > 2 else socket.socket(fileno=above(end.detach()))
