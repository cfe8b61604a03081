# SPDX-License-Identifier: MIT
"""mpfast's exceptions. How C's -errno becomes an OSError is in errors.pxd."""

from __future__ import annotations

import errno
import signal
from multiprocessing import ProcessError

__all__ = ["CorruptedQueueError", "CorruptedSharedError", "LockOwnerDied", "ManagerDied"]


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


class CorruptedSharedError(ProcessError, OSError):
    """The memory of a shared Dict or List is damaged. Some code in a process that has it wrote where it should not."""

    def __init__(self, text: str) -> None:
        super().__init__(errno.EBADMSG, text)

    def __reduce__(self) -> tuple[type[CorruptedSharedError], tuple[str]]:
        return type(self), (self.strerror or "",)


def ending(code: int | None) -> str:
    """How a process with this exit code has ended, in words."""
    if code is None:
        return "is gone"
    if code >= 0:
        return f"ended with exit code {code}"
    try:
        return f"was killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"was killed by signal {-code}"


class ManagerDied(
    ProcessError, BrokenPipeError, ConnectionResetError, ConnectionRefusedError, FileNotFoundError, EOFError
):
    """The server of a manager has ended, so its objects are gone.

    It is all the errors that multiprocessing raises then, one or another as it happens. `pid` names the server.
    `exitcode` is as Process.exitcode has it, so -9 stands for SIGKILL. It is None in a process that has not started the
    manager.
    """

    def __init__(self, pid: int, exitcode: int | None = None) -> None:
        super().__init__(errno.EPIPE, f"the manager's server, process {pid}, {ending(exitcode)}")
        self.pid = pid
        self.exitcode = exitcode

    def __reduce__(self) -> tuple[type[ManagerDied], tuple[int, int | None]]:
        return type(self), (self.pid, self.exitcode)
