# SPDX-License-Identifier: MIT
"""The lock family, under multiprocessing's name for its module. Each name loads its extension when it is first used."""

from __future__ import annotations

from .errors import explained

TYPE_CHECKING = False  # typing costs each spawned child 2 ms
if TYPE_CHECKING:
    from types import ModuleType
    from typing import Any

    from .family.family import Handle as SemLock
    from .sync.conditions import Barrier, Condition
    from .sync.mutex import Lock, RLock
    from .sync.semaphores import SEM_VALUE_MAX, BoundedSemaphore, Event, Semaphore

__all__ = [
    "SEM_VALUE_MAX", "Barrier", "BoundedSemaphore", "Condition", "Event", "Lock", "RLock", "SemLock", "Semaphore",
]  # fmt: skip

RECURSIVE_MUTEX, SEMAPHORE = 0, 1
_HOMES = {
    **dict.fromkeys(("Lock", "RLock"), "mpfast.sync.mutex"),
    **dict.fromkeys(("BoundedSemaphore", "Event", "SEM_VALUE_MAX", "Semaphore"), "mpfast.sync.semaphores"),
    **dict.fromkeys(("Barrier", "Condition"), "mpfast.sync.conditions"),
    "SemLock": "mpfast.family.family",
}


def load(name: str) -> ModuleType:
    """Imports an extension. Its ImportError says how to build."""
    from importlib import import_module

    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not error.name.startswith("mpfast."):
            raise
        raise ImportError(
            f"mpfast's extensions are not built ({error.name} is missing): run `make build` in its source"
        ) from None
    except ImportError as error:
        raise explained(error) from None


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = globals()[name] = getattr(load(_HOMES[name]), "Handle" if name == "SemLock" else name)
    return found


def __dir__() -> list[str]:
    return [*globals(), *_HOMES]
