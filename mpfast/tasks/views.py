# SPDX-License-Identifier: MIT
"""What other code finds under multiprocessing's private names."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["Ended", "Shown", "TaskQueue", "names_of"]


def names_of(cls: type) -> list[str]:
    """What dir() says of an object of the class. Not by its __class__, which has names that the object lacks."""
    return [name for name in dir(cls) if name != "__module__"]


class Ended:
    """A result's `_event`."""

    def __init__(self, result: Any) -> None:
        self._result = result

    def is_set(self) -> bool:
        return self._result.ready()  # type: ignore[no-any-return]

    def wait(self, timeout: float | None = None) -> bool:
        self._result.wait(timeout)
        return self.is_set()


class TaskQueue:
    """A pool's `_taskqueue`: the jobs that wait for room."""

    def __init__(self, desk: Any) -> None:
        self._desk = desk

    def qsize(self) -> int:
        return self._desk.waiting_jobs()  # type: ignore[no-any-return]

    def empty(self) -> bool:
        return self.qsize() == 0


class Shown:
    """A private name of a pool or an executor: what the method says with mpfast's engine, else what was put there."""

    def __init__(self, method: Any) -> None:
        self._method = method
        self._name = method.__name__
        self.__doc__ = method.__doc__

    def __get__(self, made: Any, cls: type | None = None) -> Any:
        if made is None:
            return self
        if made._own:
            return self._method(made)
        try:
            return vars(made)[self._name]
        except KeyError:
            raise AttributeError(f"{type(made).__name__!r} object has no attribute {self._name!r}") from None

    def __set__(self, made: Any, value: Any) -> None:
        vars(made)[self._name] = value
