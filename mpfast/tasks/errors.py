# SPDX-License-Identifier: MIT
"""The exceptions of pools and executors."""

from __future__ import annotations

import traceback
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import ProcessError
from multiprocessing import TimeoutError as NotInTime
from typing import Any

from ..errors import ending

__all__ = ["BrokenPool", "RemoteError", "TaskTimeout", "WorkerDied"]


class WorkerDied(BrokenProcessPool, ProcessError):
    """The worker that ran a task ended before it had the result. The task is not run again.

    `pid` names the worker. `exitcode` is as Process.exitcode has it, so -9 stands for SIGKILL, and None for unknown.
    `task` says what it ran.
    """

    def __init__(self, pid: int, exitcode: int | None = None, task: str = "a task") -> None:
        super().__init__(f"worker process {pid} {ending(exitcode)} while it ran {task}")
        self.pid = pid
        self.exitcode = exitcode
        self.task = task

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.pid, self.exitcode, self.task)


class TaskTimeout(NotInTime, TimeoutError):
    """A task has run longer than its timeout. Its worker was killed, and the task is not run again.

    `pid` names the worker. `timeout` is in seconds. `task` says what it ran.
    """

    def __init__(self, pid: int, timeout: float, task: str = "a task") -> None:
        super().__init__(f"{task} has run longer than {timeout:g} s, so its worker process {pid} was killed")
        self.pid = pid
        self.timeout = timeout
        self.task = task

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.pid, self.timeout, self.task)


class BrokenPool(BrokenProcessPool, ProcessError):
    """The pool cannot run any task, because its workers cannot be started. The cause says why."""


class RemoteError(ProcessError):
    """An exception or a result came from a worker and cannot be unpickled here.

    `name` is the type of the exception that unpickling has raised, `text` its message.
    """

    def __init__(self, name: str, text: str, remote_traceback: str = "") -> None:
        super().__init__(f"{name}: {text}{remote_traceback}")
        self.name = name
        self.text = text
        self.remote_traceback = remote_traceback

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.name, self.text, self.remote_traceback)

    @classmethod
    def told(cls, error: BaseException) -> RemoteError:
        """What a worker sends in place of an exception that could not be unpickled."""
        text = "".join(traceback.format_exception(error))
        return cls(type(error).__name__, str(error), f'\n"""\n{text}"""')

    @classmethod
    def unloadable(cls, error: BaseException, failed: bool) -> RemoteError:
        """What a caller gets in place of what cannot be unpickled. `failed`: an exception, and no result."""
        what = "an exception of a task" if failed else "the result of a task"
        text = f"{what} could not be unpickled: {error}"
        made = cls(type(error).__name__, text, "".join(traceback.format_exception(error)))
        made.__cause__ = error
        return made
