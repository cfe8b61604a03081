# SPDX-License-Identifier: MIT
"""A backend for joblib. After register(), parallel_config(backend="mpfast") runs its calls in mpfast's executor."""

from __future__ import annotations

import contextlib
import warnings
from multiprocessing import current_process
from typing import Any

from joblib import cpu_count  # type: ignore[import-not-found,import-untyped,unused-ignore]
from joblib.parallel import (  # type: ignore[import-not-found,import-untyped,unused-ignore]
    AutoBatchingMixin,
    FallbackToBackend,
    ParallelBackendBase,
    SequentialBackend,
    register_parallel_backend,
)

from .loky import get_reusable_executor

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["MpfastBackend", "register"]

IDLE = 300.0  # seconds until idle workers leave


def register(name: str = "mpfast", make_default: bool = False) -> None:
    """Makes the backend known to joblib under this name. It may be called several times."""
    register_parallel_backend(name, MpfastBackend, make_default=make_default)


class _Limits:
    """An initializer of workers. It limits the threads of numerical libraries as joblib wants it."""

    def __init__(self, env: dict[str, str]) -> None:
        self.env = env

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Limits) and self.env == other.env

    __hash__ = None  # type: ignore[assignment]

    def __call__(self) -> None:
        import os

        os.environ.update(self.env)  # for libraries that are loaded later
        with contextlib.suppress(ImportError):
            from threadpoolctl import threadpool_limits  # type: ignore[import-not-found,import-untyped,unused-ignore]

            threads = [int(value) for name, value in self.env.items() if name.endswith("_NUM_THREADS")]
            if threads:
                threadpool_limits(min(threads))  # for those that the worker was forked with


class MpfastBackend(AutoBatchingMixin, ParallelBackendBase):  # type: ignore[misc]
    """Runs batches in an executor that several Parallel objects share, one after the other.

    Arguments are pickled, and arrays travel in shared memory, so there are no memory maps in files. If a call fails,
    what still runs is ended by killing its worker, and the executor goes on with another one. A worker that dies ends
    the Parallel call with a WorkerDied.
    """

    supports_retrieve_callback = True
    supports_inner_max_num_threads = True
    _futures: set[Any]
    _executor: Any = None

    def effective_n_jobs(self, n_jobs: int | None) -> int:
        """How many workers there are for this n_jobs."""
        if n_jobs == 0:
            raise ValueError("n_jobs == 0 in Parallel has no meaning")
        if n_jobs is None:
            return 1
        if current_process().daemon:
            if n_jobs != 1:
                warnings.warn("daemons cannot have children, so n_jobs is 1 here", stacklevel=3)
            return 1
        return int(n_jobs) if n_jobs > 0 else max(cpu_count() + 1 + n_jobs, 1)

    def configure(
        self,
        n_jobs: int = 1,
        parallel: Any = None,
        prefer: Any = None,
        require: Any = None,
        idle_worker_timeout: float | None = None,
        **ignored: Any,
    ) -> int:
        """Gets an executor of this size. `ignored` is joblib's own context, and options for its memory maps."""
        n_jobs = self.effective_n_jobs(n_jobs)
        if n_jobs == 1:
            raise FallbackToBackend(SequentialBackend(nesting_level=self.nesting_level))
        self.parallel = parallel
        self._futures = set()
        given = getattr(self, "backend_kwargs", {})
        self._executor = get_reusable_executor(
            n_jobs,
            context=given.get("context"),
            timeout=idle_worker_timeout or given.get("idle_worker_timeout") or IDLE,
            initializer=_Limits(self._prepare_worker_env(n_jobs=n_jobs)),
        )
        return n_jobs

    def submit(self, func: Callable[[], Any], callback: Callable[[Any], None] | None = None) -> Any:
        """Runs a batch in a worker."""
        future = self._executor.submit(func)
        self._futures.add(future)
        future.add_done_callback(self._futures.discard)
        if callback is not None:
            future.add_done_callback(callback)
        return future

    apply_async = submit  # its name before joblib 1.5

    def retrieve_result_callback(self, out: Any) -> Any:
        """What the batch has given. Raises what it has raised."""
        return out.result()

    def terminate(self) -> None:
        """The Parallel object needs no workers for now. They stay for the next one."""
        self._executor = None
        self.reset_batch_stats()

    def abort_everything(self, ensure_ready: bool = True) -> None:
        """Ends what runs, and takes back what waits."""
        for future in list(self._futures):
            future.cancel(running=True)
        self._futures.clear()
        if not ensure_ready:
            self.terminate()
