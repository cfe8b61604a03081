# SPDX-License-Identifier: MIT
"""What the children of the launching benchmarks do, which is next to nothing."""

from __future__ import annotations

import multiprocessing
from multiprocessing.connection import Connection


def nothing() -> None:
    pass


def first_byte(link: Connection) -> None:
    link.send_bytes(b"!")


def tell_class(link: Connection) -> None:
    """Which class of process this child is, for the proof of what was launched."""
    kind = type(multiprocessing.current_process())
    link.send(f"{kind.__module__}.{kind.__qualname__}")
