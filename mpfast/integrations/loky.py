# SPDX-License-Identifier: MIT
"""get_reusable_executor(), as loky has it, with mpfast's executor."""

from __future__ import annotations

import os
import threading
from typing import Any

from ..context import _default_context
from ..executor import ProcessPoolExecutor, checked_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

__all__ = ["get_reusable_executor"]

_lock = threading.RLock()
_executor: _Reusable | None = None
_arguments: tuple[Any, ...] = ()


class _Reusable(ProcessPoolExecutor):
    """What get_reusable_executor() returns."""

    def __init__(self, max_workers: int, context: Any, timeout: float | None, *rest: Any) -> None:
        super().__init__(max_workers, context, *rest)
        self._idle_timeout = timeout

    def _begin(self) -> Any:
        began = self._staff is None
        staff = super()._begin()
        if staff is not None and began and self._idle_timeout is not None:
            staff.crew.sizing.shrink(0, self._idle_timeout)
        return staff

    def _resize(self, max_workers: int) -> None:
        if max_workers != self._max_workers:
            self.resize(max_workers)

    def usable(self) -> bool:
        return not self._shutdown_thread and not self._broken and not (self._staff and self._staff.desk.is_foreign())

    def shutdown(self, wait: bool = True, *, kill_workers: bool = False, cancel_futures: bool = False) -> None:
        """As in loky. kill_workers: calls that are not over have an error."""
        if kill_workers:
            self.kill_workers()
        super().shutdown(wait, cancel_futures=cancel_futures)


class _Begin:
    """An initializer that sets environment variables before another initializer is called."""

    def __init__(self, env: Mapping[str, Any], initializer: Callable[..., object] | None) -> None:
        self.env = {name: str(value) for name, value in env.items()}
        self.initializer = initializer

    def __call__(self, *args: Any) -> None:
        os.environ.update(self.env)
        if self.initializer is not None:
            self.initializer(*args)


def _usable_cpus() -> int:
    return len(os.sched_getaffinity(0))


def get_reusable_executor(
    max_workers: int | None = None,
    context: Any = None,
    timeout: float | None = 10,
    kill_workers: bool = False,
    reuse: bool | str = "auto",
    job_reducers: None = None,
    result_reducers: None = None,
    initializer: Callable[..., object] | None = None,
    initargs: Iterable[Any] = (),
    env: Mapping[str, Any] | None = None,
) -> Any:
    """Returns the one executor of this process that all callers share, and makes it first if there is none.

    context: one of mpfast's, or the name of a start method. None is forkserver, and fork is refused as in loky.
    timeout: when there was no call for so many seconds, the workers leave, and are started again by the next call.
    reuse: True takes the one that there is, "auto" if the arguments are the same, and False makes another one. With
    another max_workers, the executor gets another size. kill_workers: what the former executor runs is ended, if it
    has to go. A broken executor, or one that was shut down, is replaced. Any thread may call it.

    TypeError for reducers, which are for loky's queues. ValueError for a wrong number, or for fork.
    """
    global _executor, _arguments
    if job_reducers is not None or result_reducers is not None:
        raise TypeError("reducers are for loky's queues. Register them with multiprocessing's ForkingPickler")
    if max_workers is not None:
        max_workers = checked_size(max_workers, f"max_workers must be greater than 0, got {max_workers}.")
    if timeout is not None and not isinstance(timeout, (int, float)):
        raise TypeError(f"timeout must be a number of seconds or None, not {timeout!r}")
    if timeout is not None and not timeout >= 0:
        raise ValueError(f"timeout must be at least 0 seconds, not {timeout!r}")
    if context is None or isinstance(context, str):
        context = _default_context.get_context(context or "forkserver")
    if not hasattr(context, "Process"):
        raise AttributeError(f"context must be a context, as get_context() returns it, not {context!r}")
    if context.get_start_method() == "fork":
        raise ValueError("Cannot use reusable executor with the 'fork' context")
    arguments = (context, timeout, initializer, tuple(initargs), None if env is None else dict(env))
    with _lock:
        former = _executor
        if former is not None and former.usable():
            if max_workers is None:
                max_workers = former._max_workers if reuse is True else _usable_cpus()
            if reuse is True or (reuse == "auto" and arguments == _arguments):
                former._resize(max_workers)
                return former
        if former is not None:
            _executor = None
            former.shutdown(wait=True, kill_workers=kill_workers)
        begin = initializer if env is None else _Begin(env, initializer)
        _executor = _Reusable(max_workers or _usable_cpus(), context, timeout, begin, tuple(initargs))
        _arguments = arguments
        return _executor


def _forget() -> None:
    global _executor, _lock
    _executor, _lock = None, threading.RLock()


os.register_at_fork(after_in_child=_forget)
