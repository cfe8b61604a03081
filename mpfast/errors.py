# SPDX-License-Identifier: MIT
"""mpfast's exceptions. How C's -errno becomes an OSError is in errors.pxd."""

from __future__ import annotations

import errno
from multiprocessing import ProcessError

__all__ = ["CorruptedQueueError", "LockOwnerDied"]


def explained(error: ImportError) -> ImportError:
    """The error of importing an extension. If it is about sub-interpreters, it says that they are not supported."""
    if "interpreter" not in str(error):
        return error
    return ImportError(f"mpfast works in one interpreter of a process only, and in no sub-interpreter: {error}")


class LockOwnerDied(ProcessError, OSError):
    """The process that held a lock was killed. What the lock guards may be half done.

    The lock stays abandoned. Every acquire() raises this until one caller's recover() takes the lock over, or a
    release() frees it. `pid` and `tid` name the dead holder (tid 0: unknown), `name` the lock.
    """

    def __init__(self, pid: int, tid: int = 0, name: str = "a lock") -> None:
        super().__init__(errno.EOWNERDEAD, f"the holder of {name} was killed: process {pid}, thread {tid or '?'}")
        self.pid = pid
        self.tid = tid
        self.name = name

    def __reduce__(self) -> tuple[type[LockOwnerDied], tuple[int, int, str]]:
        return type(self), (self.pid, self.tid, self.name)


class CorruptedQueueError(ProcessError, OSError):
    """A queue's shared memory is damaged. Some code in a process that has the queue wrote where it should not."""

    def __init__(self, text: str) -> None:
        super().__init__(errno.EBADMSG, text)

    def __reduce__(self) -> tuple[type[CorruptedQueueError], tuple[str]]:
        return type(self), (self.strerror or "",)
