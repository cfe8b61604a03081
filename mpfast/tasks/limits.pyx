# SPDX-License-Identifier: MIT
# cython: language_level=3
"""What the limits mean that callers give, and how messages name a function."""

from libc.stdint cimport int64_t
from mpfast.core.base.clock cimport NEVER, clock_deadline
from mpfast.tasks.desk cimport Desk

from .given import seconds


cdef int64_t deadline_of(timeout) except? -1:
    return NEVER if timeout is None else clock_deadline(timeout)


cdef int64_t limit_of(timeout, int64_t default) except -1:
    """A timeout= as nanoseconds. 0: there is none."""
    if timeout is None:
        return default
    seconds("timeout", timeout)
    return 0 if timeout >= 1e9 else max(1, <int64_t>(timeout * 1e9))


cdef int retries_of(retries, int default) except -1:
    if retries is None:
        return default
    if not isinstance(retries, int):
        raise TypeError(f"retries must be an integer or None, not {retries!r}")
    if retries < 0:
        raise ValueError(f"retries must be at least 0, not {retries!r}")
    return min(retries, 1 << 30)


def check_limits(timeout, retries):
    """Raises TypeError or ValueError for what is no timeout, or no number of retries."""
    limit_of(timeout, 0)
    retries_of(retries, 0)


def set_limits(Desk desk, timeout, retries):
    """What holds for jobs that do not say."""
    desk.timeout, desk.retries = limit_of(timeout, 0), retries_of(retries, 0)


cdef str name_of(func):
    try:
        name = getattr(func, "__qualname__", None)
        return f"{getattr(func, '__module__', None) or '?'}.{name}" if name else repr(func)
    except Exception:
        return f"a {type(func).__qualname__} without a repr"
