# SPDX-License-Identifier: MIT
"""multiprocessing.sharedctypes, with objects that have mpfast's locks."""

from __future__ import annotations

from multiprocessing import sharedctypes as _stdlib
from multiprocessing.sharedctypes import RawArray, RawValue, copy
from typing import Any

from .context import _default_context

__all__ = ["Array", "RawArray", "RawValue", "Value", "copy", "synchronized"]


def __getattr__(name: str) -> Any:
    return getattr(_stdlib, name)


def Value(typecode_or_type: Any, *args: Any, lock: Any = True, ctx: Any = None) -> Any:
    """multiprocessing's, with a lock of mpfast's context unless `ctx` is given."""
    return _stdlib.Value(typecode_or_type, *args, lock=lock, ctx=ctx or _default_context.get_context())


def Array(typecode_or_type: Any, size_or_initializer: Any, *, lock: Any = True, ctx: Any = None) -> Any:
    """multiprocessing's, with a lock of mpfast's context unless `ctx` is given."""
    return _stdlib.Array(typecode_or_type, size_or_initializer, lock=lock, ctx=ctx or _default_context.get_context())


def synchronized(obj: Any, lock: Any = None, ctx: Any = None) -> Any:
    """multiprocessing's, with a lock of mpfast's context unless `lock` or `ctx` is given."""
    return _stdlib.synchronized(obj, lock, ctx or _default_context.get_context())
