# SPDX-License-Identifier: MIT
"""Options: what a Pool's constructor is told of its workers beyond multiprocessing's arguments, checked."""

from __future__ import annotations

import math

from .care import Care
from .given import called, seconds

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .crew import Crew

__all__ = ["Options", "care_of"]


class Options:
    """Options(options): by their names, all that pool.py gives beside timeout and retries. TypeError, ValueError."""

    def __init__(self, options: dict[str, Any]) -> None:
        self.min_workers = _number("min_workers", options["min_workers"], 0)
        idle = options["idle_timeout"]
        self.idle_timeout = None if idle is None or math.isinf(seconds("idle_timeout", idle)) else float(idle)
        if self.min_workers is not None and self.idle_timeout is None:
            raise ValueError("min_workers needs idle_timeout, after which the others leave")
        state, leave = (called(name, options[name]) for name in ("worker_state", "worker_exit"))
        memory, trace = _number("max_worker_memory", options["max_worker_memory"], 1), bool(options["faulthandler"])
        self.template = bool(options["template"])
        self.care = care_of(state, leave, memory, trace)

    def for_crew(self, timeout: float | None) -> dict[str, Any]:
        """The arguments of Crew."""
        return {"care": self.care, "template": self.template, "recycles": timeout is not None}

    def apply(self, crew: Crew) -> None:
        """Called when the first workers were started."""
        if self.idle_timeout is not None:
            crew.sizing.shrink(1 if self.min_workers is None else self.min_workers, self.idle_timeout)


def care_of(state: Any, leave: Any, memory: int | None = None, trace: bool = False) -> Care | None:
    """What is asked of each worker, or None if it is nothing."""
    return Care(state, leave, memory, trace) if trace or not state is leave is memory is None else None


def _number(name: str, value: Any, least: int) -> int | None:
    if value is None:
        return None
    if not isinstance(value, int):
        raise TypeError(f"{name} must be an int or None, not {value!r}")
    if value < least:
        raise ValueError(f"{name} must be at least {least}, not {value}")
    return value
