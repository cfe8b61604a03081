# SPDX-License-Identifier: MIT
"""multiprocessing.managers, whose managers start their server process with mpfast's context."""

from __future__ import annotations

from multiprocessing import managers as _stdlib
from multiprocessing.managers import *  # noqa: F403
from typing import Any

from .context import _default_context

__all__ = _stdlib.__all__


def __getattr__(name: str) -> Any:
    return getattr(_stdlib, name)


class _OurContext:
    def __init__(
        self, address: Any = None, authkey: Any = None, serializer: str = "pickle", ctx: Any = None, **rest: Any
    ) -> None:
        ctx = ctx or _default_context.get_context()
        super().__init__(address, authkey, serializer, ctx, **rest)  # type: ignore[call-arg]


class BaseManager(_OurContext, _stdlib.BaseManager):  # type: ignore[no-redef]
    """multiprocessing's, with mpfast's context unless `ctx` is given."""


class SyncManager(_OurContext, _stdlib.SyncManager):  # type: ignore[no-redef]
    """multiprocessing's, with mpfast's context unless `ctx` is given."""


class SharedMemoryManager(_OurContext, _stdlib.SharedMemoryManager):  # type: ignore[no-redef]
    """multiprocessing's, with mpfast's context unless `ctx` is given."""
