# SPDX-License-Identifier: MIT
"""multiprocessing.pool, with a Pool that uses mpfast's context."""

from __future__ import annotations

from multiprocessing import pool as _stdlib
from multiprocessing.pool import ThreadPool
from typing import Any

from .context import _default_context

__all__ = ["Pool", "ThreadPool"]


def __getattr__(name: str) -> Any:
    return getattr(_stdlib, name)


class Pool(_stdlib.Pool):
    """multiprocessing's, with mpfast's context unless `context` is given."""

    def __init__(
        self,
        processes: int | None = None,
        initializer: Any = None,
        initargs: Any = (),
        maxtasksperchild: int | None = None,
        context: Any = None,
    ) -> None:
        super().__init__(processes, initializer, initargs, maxtasksperchild, context or _default_context.get_context())

    def _setup_queues(self) -> None:
        for end in self._ctx.Pipe(duplex=False):  # type: ignore[attr-defined]
            end.close()  # where pipes are refused, the pool's threads could not say so
        super()._setup_queues()  # type: ignore[misc]

    def _repopulate_pool(self) -> None:
        """Called once, for the first workers. A thread will watch queues. If there is no descriptor for that, the error
        is the caller's. Else it would end the thread, and nobody would get a result."""
        super()._repopulate_pool()  # type: ignore[misc]
        for queue in self._get_sentinels():  # type: ignore[attr-defined]
            queue.fileno()
