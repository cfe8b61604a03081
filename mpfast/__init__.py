# SPDX-License-Identifier: MIT
"""multiprocessing with a new inside. It has the same API, is faster, and does not hang when a process is killed.

Every public name of multiprocessing is here, bound to mpfast's default context. mpfast adds a few of its own.
"""

from . import context
from .errors import CorruptedQueueError, CorruptedSharedError, LockOwnerDied, ManagerDied

__version__ = "0.1.0.dev0"
__all__ = [name for name in dir(context._default_context) if not name.startswith("_") and name != "shared"]
globals().update((name, getattr(context._default_context, name)) for name in __all__)
__all__ += ["Atomic", "BrokenPool", "CorruptedQueueError", "CorruptedSharedError", "LockInfo", "LockOwnerDied"]
__all__ += ["ManagerDied", "PoolStats"]
__all__ += ["ProcessPoolExecutor", "QueueStats", "RemoteError", "ShutDown", "TaskTimeout", "Waiter"]
__all__ += ["WorkerDied", "WorkerStats"]
__all__ += ["install", "installed", "locks", "shared", "strict_pickling"]

__path__.append(f"{__path__[0]}/former")  # where pickles of older versions find their modules
strict_pickling = False  # True: nothing is sent to children by value, as with multiprocessing
SUBDEBUG = 5
SUBWARNING = 25


def __getattr__(name):
    if name in ("LockInfo", "QueueStats", "Waiter", "locks"):
        from . import diagnostics

        return getattr(diagnostics, name)
    if name in ("PoolStats", "WorkerStats"):
        from .tasks import stats

        return getattr(stats, name)
    if name in ("install", "installed"):
        from .standin import install

        return getattr(install, name)
    if name in ("BrokenPool", "RemoteError", "TaskTimeout", "WorkerDied"):
        from .tasks import errors

        return getattr(errors, name)
    if name == "ProcessPoolExecutor":
        from .executor import ProcessPoolExecutor

        return ProcessPoolExecutor
    if name == "Atomic":
        from .sharedctypes import Atomic

        return Atomic
    if name == "shared":
        return context._default_context.shared
    if name == "ShutDown":
        from .channel.channel import ShutDown

        return ShutDown
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
