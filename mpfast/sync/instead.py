# SPDX-License-Identifier: MIT
"""multiprocessing's own locks and queues, where a limit forbids mpfast's memory.

A hard limit on the size of files (`ulimit -f`, RLIMIT_FSIZE) below that of the family's memory file cannot be evaded.
multiprocessing's semaphores are files of 32 bytes, and its queues are pipes. So they work under nearly any limit.
"""

from __future__ import annotations

import errno
from importlib import import_module

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn

__all__ = ["queue", "synchronizer"]

SEMAPHORE = 32  # bytes of its file
HEAP = 4096  # and of the first file of the heap, in which a Barrier has its state


def synchronizer(name: str, context: Any, *args: Any) -> Any:
    """Returns the object of multiprocessing.synchronize. OSError if there is no room for that one either."""
    return _made("synchronize", name, HEAP if name == "Barrier" else SEMAPHORE, *args, ctx=context)


def queue(name: str, context: Any, *args: Any) -> Any:
    """The same for a class of multiprocessing.queues."""
    return _made("queues", name, SEMAPHORE, *args, ctx=context)


def _made(module: str, name: str, size: int, *args: Any, ctx: Any) -> Any:
    from resource import RLIM_INFINITY, RLIMIT_FSIZE, getrlimit

    limit = getrlimit(RLIMIT_FSIZE)[0]
    if limit != RLIM_INFINITY and limit < size:  # not tried, as SIGXFSZ may end the process
        _refuse(name)
    names = vars(import_module(f"multiprocessing.{module}"))  # the stand-in's are properties of the module
    try:
        return names[name](*args, ctx=ctx)
    except OSError as error:
        if error.errno != errno.EFBIG:
            raise
    _refuse(name)


def _refuse(name: str) -> NoReturn:
    nobodys = "neither mpfast's nor multiprocessing's"
    raise OSError(
        errno.EFBIG, f"the limit on the size of files (ulimit -f) leaves no room for a {name}, {nobodys}"
    ) from None
