# SPDX-License-Identifier: MIT
"""Values and Arrays, under multiprocessing's name for its module.

They lie in the memory that all processes of a tree share anyway. So an object has no descriptor, no name and no tracker
process. A Value has its lock beside it, and is read and written while that is held.
"""

from __future__ import annotations

import errno

from .context import _default_context
from .synchronize import load

TYPE_CHECKING = False  # typing costs each spawned child 2 ms
if TYPE_CHECKING:
    from typing import Any

    from .values import memory, wrappers
    from .values.atomic import Atomic as Atomic
else:
    memory, wrappers = load("mpfast.values.memory"), load("mpfast.values.wrappers")

__all__ = ["Array", "RawArray", "RawValue", "Value", "copy", "synchronized"]

SynchronizedBase = wrappers.SynchronizedBase
Synchronized = wrappers.Synchronized
SynchronizedArray = wrappers.SynchronizedArray
SynchronizedString = wrappers.SynchronizedString
rebuild_ctype = memory.rebuild_ctype
reduce_ctype = memory.reduce_ctype
_new_value, _raw_value, _raw_array = wrappers.new_value, memory.raw_value, memory.raw_array


def __getattr__(name: str) -> Any:
    if name == "Atomic":
        found = globals()[name] = load("mpfast.values.atomic").Atomic
        return found
    from multiprocessing import sharedctypes

    if name in vars(sharedctypes):
        return vars(sharedctypes)[name]
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def _instead(refusal: Exception, name: str) -> Any:
    """multiprocessing's function, for a system that refuses mpfast's memory. Raises `refusal` of anything else."""
    if isinstance(refusal, OSError) and refusal.errno not in (errno.EFBIG, errno.ENOSYS):
        raise refusal
    from multiprocessing import sharedctypes

    return vars(sharedctypes)[name]  # the stand-in's are properties of the module


def RawValue(typecode_or_type: Any, *args: Any) -> Any:
    """Returns an object of ctypes in shared memory, without a lock. Does not block.

    OSError (ENOSPC) says that the family has too many locks, Values and Arrays.
    """
    try:
        return _raw_value(typecode_or_type, *args)
    except (OSError, MemoryError) as error:
        return _instead(error, "RawValue")(typecode_or_type, *args)


def RawArray(typecode_or_type: Any, size_or_initializer: Any) -> Any:
    """Returns an array of ctypes in shared memory, without a lock. Does not block. Raises as RawValue().

    An array of zeros takes no memory before it is written to.
    """
    try:
        return _raw_array(typecode_or_type, size_or_initializer)
    except (OSError, MemoryError) as error:
        return _instead(error, "RawArray")(typecode_or_type, size_or_initializer)


def Value(typecode_or_type: Any, *args: Any, lock: Any = True, ctx: Any = None) -> Any:
    """Returns an object of ctypes in shared memory that has a lock. Does not block. Raises as RawValue().

    lock: True for an RLock of its own (of `ctx`, or of the default context), False for no lock (the object of ctypes),
    or a lock to use.
    """
    if lock is True or lock is None:
        lock = (ctx or _default_context).RLock()
        try:
            return _new_value(typecode_or_type, args, lock)
        except (OSError, MemoryError) as error:
            return synchronized(_instead(error, "RawValue")(typecode_or_type, *args), lock)
    obj = RawValue(typecode_or_type, *args)
    return obj if lock is False else _locked(obj, lock)


def Array(typecode_or_type: Any, size_or_initializer: Any, *, lock: Any = True, ctx: Any = None) -> Any:
    """Returns an array of ctypes in shared memory that has a lock. `lock` is as for Value(). Raises as RawValue()."""
    obj = RawArray(typecode_or_type, size_or_initializer)
    if lock is False:
        return obj
    if lock is True or lock is None:
        lock = (ctx or _default_context).RLock()
    return _locked(obj, lock)


def _locked(obj: Any, lock: Any) -> Any:
    if not hasattr(lock, "acquire"):
        raise AttributeError(f"{lock!r} has no method 'acquire'")
    return wrappers.synchronized(obj, lock)


def synchronized(obj: Any, lock: Any = None, ctx: Any = None) -> Any:
    """Gives an object of ctypes a lock (None: a new RLock of `ctx`, or of the default context). Does not block."""
    return wrappers.synchronized(obj, lock, ctx or _default_context)


def copy(obj: Any) -> Any:
    """Returns a copy of an object of ctypes, in shared memory of its own. Does not block. Raises as RawValue()."""
    try:
        return memory.copy(obj)
    except (OSError, MemoryError) as error:
        return _instead(error, "copy")(obj)
