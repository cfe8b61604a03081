# SPDX-License-Identifier: MIT
"""What a child of the start method spawn does first. It was started with the garbage collector off."""

from __future__ import annotations

import gc
import sys
from multiprocessing import process, spawn
from pickle import load

from .life import guard

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

__all__ = ["main"]


def _receive(data: int) -> process.BaseProcess:
    """Takes over the parent's state and main module, and unpickles the process."""
    current = process.current_process()
    with open(data, "rb") as file:
        current._inheriting = True  # type: ignore[attr-defined]
        try:
            spawn.prepare(load(file))
            received: process.BaseProcess = load(file)
        finally:
            del current._inheriting  # type: ignore[attr-defined]
    return received


def main(data: int, shared_tracker: tuple[int, bool] | None) -> NoReturn:
    """Runs the process that is pickled in the file `data`, and exits."""
    gc.freeze()  # the interpreter and the standard library live as long as the process, so the collector may skip them
    gc.enable()
    if shared_tracker is not None:
        from . import tracker

        tracker.inherit(*shared_tracker)
    process_obj = _receive(data)
    if process_obj.daemon:
        guard(process_obj._parent_pid)  # type: ignore[attr-defined]
    sys.exit(process_obj._bootstrap(parent_sentinel=None))  # type: ignore[attr-defined]
