# SPDX-License-Identifier: MIT
"""What a process may never need. A child's sys.stdin and its parent's pidfd are opened when they are first used."""

from __future__ import annotations

import os
from multiprocessing import process

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["NoInput", "temporary_file"]


class NoInput:
    """A child's sys.stdin. It is /dev/null, opened when it is first used.

    This object stays in sys.stdin. input() and other functions in C hold no reference of their own to what they found
    there, so it must not be replaced while they use it.
    """

    @property  # type: ignore[misc]
    def __class__(self) -> type:
        import io

        return io.TextIOWrapper

    def _open(self) -> Any:
        opened = self.__dict__.get("file")
        if opened is None:
            fd = os.open(os.devnull, os.O_RDONLY)
            opened = self.__dict__["file"] = open(fd, encoding="utf-8", closefd=False)  # noqa: SIM115
        return opened

    def __getattr__(self, name: str) -> Any:
        return getattr(self._open(), name)

    def __setattr__(self, name: str, value: object) -> None:
        setattr(self._open(), name, value)

    def __delattr__(self, name: str) -> None:
        delattr(self._open(), name)

    def __reduce_ex__(self, protocol: Any) -> Any:
        return self._open().__reduce_ex__(protocol)

    def __dir__(self) -> list[str]:
        return dir(self._open())

    def __iter__(self) -> Any:
        return iter(self._open())

    def __next__(self) -> Any:
        return next(self._open())

    def __enter__(self) -> Any:
        self._open().__enter__()
        return self

    def __exit__(self, *exception: object) -> None:
        self._open().__exit__(*exception)

    def __repr__(self) -> str:
        return repr(self._open())


class _ParentProcess(process._ParentProcess):  # type: ignore[name-defined,misc]
    """The parent of this process. Its sentinel, a pidfd, is opened when it is asked for."""

    def __init__(self, name: str, pid: int) -> None:
        self._opened: int | None = None
        super().__init__(name, pid, None)

    @property
    def _sentinel(self) -> int:
        if self._opened is None:
            self._opened = _parent_pidfd(self._pid)
        return self._opened

    @_sentinel.setter
    def _sentinel(self, sentinel: int | None) -> None:
        self._opened = sentinel


def _parent_pidfd(pid: int) -> int:
    """Returns a descriptor that is readable when process `pid`, our parent, has ended."""
    from .child import above

    try:
        fd = above(os.pidfd_open(pid))
    except ProcessLookupError:
        fd = None
    if fd is not None and os.getppid() in (pid, 0):  # 0 if it is in another pid namespace. This is the best we have
        return fd
    if fd is not None:  # it ended, and another process has its number
        os.close(fd)
    readable, writable = os.pipe()
    os.close(writable)
    return above(readable)


def temporary_file() -> int:
    """Returns the descriptor of a file without a name, for systems that refuse memory files. OSError."""
    import tempfile

    from .child import above

    with tempfile.TemporaryFile(buffering=0) as file:
        return above(os.dup(file.fileno()))
