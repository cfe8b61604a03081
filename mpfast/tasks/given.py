# SPDX-License-Identifier: MIT
"""What callers give a pool or an executor, checked before anything is made. The errors name the argument."""

from __future__ import annotations

import operator
from typing import Any

__all__ = ["ahead", "called", "check_context", "seconds", "whole", "workers"]

MOST = 4095  # processes of a family, and so places for workers (POOL_WORKERS is one more)


def whole(name: str, value: Any) -> int:
    """The value as an int, numpy's integers too. TypeError if it is none."""
    try:
        return operator.index(value)
    except TypeError:
        raise TypeError(f"{name} must be an int, not {value!r}") from None


def workers(name: str, value: Any, too_few: str) -> int:
    """A number of workers. ValueError if it is below 1, with this text, or if there cannot be so many."""
    number = whole(name, value)
    if number < 1:
        raise ValueError(too_few)
    if number > MOST:
        raise ValueError(f"{name} must be at most {MOST}, not {number}")
    return number


def ahead(buffersize: Any) -> int | None:
    """How many tasks may be ahead of the results. TypeError or ValueError as in the standard library."""
    if buffersize is not None and not isinstance(buffersize, int):
        raise TypeError("buffersize must be an integer or None")
    if buffersize is not None and buffersize < 1:
        raise ValueError("buffersize must be None or > 0")
    return buffersize


def called(name: str, value: Any) -> Any:
    """A function, or None. TypeError if it is neither."""
    if value is not None and not callable(value):
        raise TypeError(f"{name} must be a callable or None, not {value!r}")
    return value


def seconds(name: str, value: Any) -> float:
    """A time that is not None. TypeError or ValueError if it is no number above 0."""
    if not isinstance(value, (int, float)):
        raise TypeError(f"{name} must be a number of seconds or None, not {value!r}")
    if not value > 0:
        raise ValueError(f"{name} must be more than 0 seconds, not {value!r}")
    return value


def check_context(name: str, context: Any) -> None:
    """AttributeError, as in multiprocessing, for what has no processes to start. The name of a method has none."""
    if not hasattr(context, "Process"):
        raise AttributeError(f"{name} must be a context, as get_context() returns it, not {context!r}")
