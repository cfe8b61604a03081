# SPDX-License-Identifier: MIT
"""The executor that stands in for concurrent.futures'."""

from __future__ import annotations

from .. import executor

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["ProcessPoolExecutor"]


class ProcessPoolExecutor(executor.ProcessPoolExecutor):
    """An executor of worker processes.

    The death of a worker ends it, and all futures that are not done have a BrokenProcessPool. on_worker_death="task"
    loses only the call that the worker ran.
    """

    _breaks = True

    def _check_context(self, context: Any, max_tasks_per_child: int | None) -> None:
        if max_tasks_per_child is not None and context.get_start_method(allow_none=False) == "fork":
            raise ValueError(
                "max_tasks_per_child is incompatible with the 'fork' multiprocessing start method; supply a different "
                "mp_context."
            )

    def _spared(self) -> int:
        """In concurrent.futures these calls are in a queue, and count as running."""
        return self._max_workers + 1


ProcessPoolExecutor.__module__ = "concurrent.futures.process"
