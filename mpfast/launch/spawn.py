# SPDX-License-Identifier: MIT
"""The start method spawn. It starts a fresh interpreter, which reads all that it needs from an inherited descriptor.

The message is complete before there is a child, in a pipe or a memory file. So start() never waits for the child,
whatever the size, and a child that dies early does no harm. Only under a limit on the size of files does start() wait.
"""

from __future__ import annotations

import os
import sys
from multiprocessing import spawn, util
from multiprocessing.context import get_spawning_popen, reduction, set_spawning_popen  # type: ignore[attr-defined]
from multiprocessing.popen_spawn_posix import _DupFd
from multiprocessing.process import BaseProcess

from . import tracker
from .child import Child, hooked
from .dump import Message, dump, let_go

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["SpawnPopen", "is_this_interpreter", "standin", "usable"]

# Until a child knows its parent's sys.path, it has the one that its interpreter starts with. So it is told where this
# package is, and first imports what this package imports from the standard library.
PROGRAM = """\
import gc; gc.disable()
import sys, atexit, itertools, signal, threading, multiprocessing.spawn
sys.path.insert(0, {place!r})
{first}
from mpfast.launch.spawned import main
main({data}, {tracker})
"""
PLACE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def usable() -> bool:
    """Can mpfast start the children? With another interpreter, or with some hooks, multiprocessing starts them."""
    return hooked("spawn") is None and is_this_interpreter()


def is_this_interpreter() -> bool:
    executable: Any = spawn.get_executable()
    return bool(sys.executable) and os.fsencode(executable or b"") == os.fsencode(sys.executable)


def standin() -> str:
    """Code for the child. If multiprocessing means mpfast here, it does there too, before the main module runs."""
    standin = sys.modules.get("mpfast.standin.install")
    return "from mpfast.standin.install import install; install()" if standin and standin.installed() else ""


class SpawnPopen(Child):
    """Starts a child in a fresh interpreter."""

    method = "spawn"
    DupFd = _DupFd
    _mpfast_launcher = True

    def __init__(self, process_obj: BaseProcess) -> None:
        util._flush_std_streams()  # type: ignore[attr-defined]
        self._fds: list[int] = []
        self._launch(process_obj)

    def duplicate_for_child(self, fd: int) -> int:
        self._fds.append(fd)
        return fd

    def _launch(self, process_obj: BaseProcess) -> None:
        try:
            message = self._write(process_obj)
            data, shared = message.hold(), tracker.for_child()
            keep = {data, *map(int, self._fds)}
            if shared is not None:
                keep.add(shared[0])
            program = PROGRAM.format(place=PLACE, first=standin(), data=data, tracker=shared)
            executable = spawn.get_executable()
            flags = util._args_from_interpreter_flags()  # type: ignore[attr-defined]
            command = [executable, *flags, "-c", program, "--multiprocessing-fork"]
            self._exec(process_obj, executable, command, keep)
            message.feed()
        finally:
            self._drop_data()
            let_go(self)

    def _write(self, process_obj: BaseProcess) -> Message:
        preparation = spawn.get_preparation_data(process_obj._name)  # type: ignore[attr-defined]
        message = Message(self)
        before = get_spawning_popen()  # a signal handler may start a process while another is pickled
        try:
            set_spawning_popen(self)  # type: ignore[arg-type]
            reduction.dump(preparation, message)
            dump(process_obj, message)  # type: ignore[arg-type]
        finally:
            set_spawning_popen(before)
        return message
