# SPDX-License-Identifier: MIT
"""The lock family, under multiprocessing's name for its module."""

try:
    from .conditions import Barrier, Condition
    from .family import Handle as SemLock  # noqa: F401
    from .mutex import Lock, RLock
    from .semaphores import SEM_VALUE_MAX, BoundedSemaphore, Event, Semaphore  # noqa: F401
except ModuleNotFoundError as error:
    if error.name is None or not error.name.startswith("mpfast."):
        raise
    raise ImportError(
        f"mpfast's extensions are not built ({error.name} is missing): run `make build` in its source"
    ) from None

__all__ = ["Barrier", "BoundedSemaphore", "Condition", "Event", "Lock", "RLock", "Semaphore"]

RECURSIVE_MUTEX, SEMAPHORE = 0, 1
