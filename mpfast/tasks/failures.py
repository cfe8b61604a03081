# SPDX-License-Identifier: MIT
"""How exceptions travel from a worker to its pool, and what a pool says of workers that are gone."""

from __future__ import annotations

import pickle
from multiprocessing.reduction import ForkingPickler

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType
    from typing import Any

__all__ = ["KINDS", "sendable"]


def sendable(wrapped: Any, error: BaseException) -> Any:
    """The wrapped exception, or a RemoteError that tells of it if the pool's process could not unpickle it."""
    try:
        message = ForkingPickler.dumps(wrapped)
    except Exception:  # the outbox will tell
        return wrapped
    try:
        pickle.loads(message)
    except Exception:
        from .errors import RemoteError

        return RemoteError.told(error)
    return wrapped


class OfPool:
    """As multiprocessing.pool has it. SystemExit ends a worker."""

    catches_all = False
    ends_unloadable = False  # does a task that cannot be unpickled end its worker?

    @staticmethod
    def wrapped(error: BaseException, traceback: TracebackType | None) -> Any:
        from multiprocessing.pool import ExceptionWithTraceback  # type: ignore[attr-defined]

        return ExceptionWithTraceback(error, traceback)

    @staticmethod
    def unsendable(error: BaseException, value: Any) -> Any:
        from multiprocessing.pool import ExceptionWithTraceback, MaybeEncodingError  # type: ignore[attr-defined]

        return MaybeEncodingError(error, value.exc if isinstance(value, ExceptionWithTraceback) else value)


class OfExecutor:
    """As concurrent.futures has it. All exceptions are the task's."""

    catches_all = True
    ends_unloadable = False

    @staticmethod
    def wrapped(error: BaseException, traceback: TracebackType | None) -> Any:
        from concurrent.futures.process import _ExceptionWithTraceback

        return _ExceptionWithTraceback(error, traceback)  # type: ignore[arg-type]

    @staticmethod
    def log_failed_initializer() -> None:
        from concurrent.futures import _base

        _base.LOGGER.critical("Exception in initializer:", exc_info=True)

    @staticmethod
    def unsendable(error: BaseException, value: Any) -> Any:
        return OfExecutor.wrapped(error, error.__traceback__)


class OfBreaking(OfExecutor):
    """For an executor that breaks when a worker ends."""

    ends_unloadable = True


KINDS = {"pool": OfPool, "executor": OfExecutor, "breaking": OfBreaking}
