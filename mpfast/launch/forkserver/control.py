# SPDX-License-Identifier: MIT
"""What mpfast's contexts offer beyond starting one process at a time, and settings of the fork server."""

from __future__ import annotations

import inspect
import operator
from multiprocessing import forkserver

from ..child import available, check

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

__all__ = ["prewarm", "set_forkserver_preload", "start_many"]


def _ours() -> bool:
    """Do processes of the start method forkserver come from mpfast's fork server?"""
    if available() is not None:
        return False
    from .popen import why_not

    return why_not() is None


def start_many(processes: Iterable[Any], default: str | None) -> None:
    """Context.start_many(). default: the start method of processes that name none."""
    wanted = list(processes)
    for process_obj in wanted:
        check(process_obj)
    if len({id(process_obj) for process_obj in wanted}) < len(wanted):
        raise ValueError("a process is there twice")
    n = sum((process_obj._start_method or default) == "forkserver" for process_obj in wanted)
    if n > 1 and _ours():
        from .client import client

        client.expect(n)
    for process_obj in wanted:
        process_obj.start()


def prewarm(method: str | None, n: int) -> None:
    """Context.prewarm()"""
    n = operator.index(n)
    if n < 0:
        raise ValueError(f"n must not be negative, and is {n}")
    if method != "forkserver" or not _ours():
        return
    from .client import client

    client.prewarm(n)


def set_forkserver_preload(module_names: list[str], on_error: str) -> None:
    """Context.set_forkserver_preload(). on_error is new in Python 3.15, but works here on all versions."""
    if on_error not in ("ignore", "warn", "fail"):
        raise ValueError(f"on_error must be 'ignore', 'warn', or 'fail', not {on_error!r}")
    stdlib: Any = forkserver.set_forkserver_preload
    knows = "on_error" in inspect.signature(stdlib).parameters
    stdlib(module_names, **{"on_error": on_error} if knows else {})
    from .client import client

    client.on_error = on_error
