# SPDX-License-Identifier: MIT
"""multiprocessing with other insides: the same API, faster, and no hang when a process is killed.

Every public name of multiprocessing is here, bound to mpfast's default context, and a few of mpfast's own.
"""

try:
    from . import context
except ModuleNotFoundError as error:
    if error.name is None or not error.name.startswith(__name__ + "."):
        raise
    raise ImportError(
        f"mpfast's extensions are not built ({error.name} is missing): run `make`, or `pip install .`, in its source"
    ) from None

from .diagnostics import LockInfo, Waiter, locks
from .errors import LockOwnerDied

__version__ = "0.1.0.dev0"
__all__ = [name for name in dir(context._default_context) if not name.startswith("_")]
globals().update((name, getattr(context._default_context, name)) for name in __all__)
__all__ += ["LockInfo", "LockOwnerDied", "Waiter", "locks"]

SUBDEBUG = 5
SUBWARNING = 25
