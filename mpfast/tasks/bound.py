# SPDX-License-Identifier: MIT
"""Bound: an executor's submit() with options. submit() itself has none, since its keywords are the function's."""

from __future__ import annotations

from .limits import check_limits

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

__all__ = ["Bound"]


class Bound:
    """What ProcessPoolExecutor.with_options() returns. Any thread may use it, and it may be used again and again."""

    def __init__(self, executor: Any, timeout: float | None, retries: int | None, priority: int | None) -> None:
        check_limits(timeout, retries)
        if priority is not None and not isinstance(priority, int):
            raise TypeError(f"priority must be an integer or None, not {priority!r}")
        self._executor, self._options = executor, (timeout, retries, priority)

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """As the executor's submit(), with the options."""
        return self._executor._submit(fn, args, kwargs, self._options)
