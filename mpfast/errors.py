# SPDX-License-Identifier: MIT
"""mpfast's exceptions, and the one door from C's -errno to Python's exceptions."""

from __future__ import annotations

import errno
import os
from multiprocessing import ProcessError

TYPE_CHECKING = False  # typing costs each spawned child 2 ms
if TYPE_CHECKING:
    from typing import NoReturn

__all__ = ["CorruptedQueueError", "LockOwnerDied", "fail"]


class LockOwnerDied(ProcessError, OSError):
    """The process that held a lock was killed; what the lock guards may be half done.

    The lock stays abandoned: every acquire() raises this until one caller's recover() takes it over, or somebody's
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
    """A queue's shared memory is damaged: something in a process that has it wrote where it should not."""

    def __init__(self, text: str) -> None:
        super().__init__(errno.EBADMSG, text)

    def __reduce__(self) -> tuple[type[CorruptedQueueError], tuple[str]]:
        return type(self), (self.strerror or "",)


_TEXTS = {
    errno.EAGAIN: "the participant table is full: too many live processes share this family",
    errno.ENOSPC: "all slots of this family are in use: too many locks, conditions or events exist at once",
    errno.EPROTO: "the family segment was made by another version of mpfast",
    errno.EBADMSG: "not a family segment of mpfast, or a damaged one",
    errno.EPERM: "the segment is not sealed, so that others might take its memory away",
    errno.EBADF: "the descriptor of the family segment was closed by somebody in this process",
    errno.ENOTSUP: "mpfast needs /proc to reopen its segment; see: python -m mpfast doctor",
    errno.ENOSYS: "this kernel lacks a service that mpfast needs; see: python -m mpfast doctor",
}


def fail(rc: int, doing: str) -> NoReturn:
    """Raises the OSError that the status -errno of a C function stands for."""
    known = errno.ENOTSUP if rc == -errno.EBADF and not os.path.isdir("/proc/self/fd") else -rc
    raise OSError(-rc, f"{doing}: {_TEXTS.get(known, os.strerror(-rc))}")
