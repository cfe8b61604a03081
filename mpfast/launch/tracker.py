# SPDX-License-Identifier: MIT
"""multiprocessing's resource tracker, shared by processes of which none may ever need it.

multiprocessing starts the tracker before the first child, so that all processes have one. Here they share a pipe. The
first process that names something starts the tracker at the other end, and it lives until the last process has closed
the pipe. What a child has named stays when only the child ends.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["ensure", "for_child", "inherit", "lead", "share"]

_MODULE = "multiprocessing.shared_memory"
_PROGRAM = "from multiprocessing.resource_tracker import main; main({})"

_pipe = -1  # where a tracker is to be told. Nobody may listen yet
_identity: tuple[int, int] | None = None  # of that pipe, in case the program closes descriptors that are not its own
_leads = False  # multiprocessing.shared_memory was loaded for mpfast's, not for the program


def lead() -> None:
    """To be called before mpfast loads multiprocessing.shared_memory for itself."""
    global _leads
    if _MODULE not in sys.modules:
        _leads = True


def _started() -> bool:
    """Does this process have a tracker?"""
    module: Any = sys.modules.get("multiprocessing.resource_tracker")
    return module is not None and module._resource_tracker._fd is not None


def _needed() -> bool:
    """Does the program use what registers with the tracker without asking here first?"""
    if "multiprocessing.synchronize" in sys.modules:
        return True
    module = sys.modules.get(_MODULE)
    return not (module is None or _leads or "SharedMemory" in vars(type(module)))  # the stand-in's is a property


def for_child() -> tuple[int, bool] | None:
    """(a descriptor, does a tracker listen?) for a child to inherit. None if it will need none."""
    if _started() or _needed():
        from multiprocessing import resource_tracker

        return resource_tracker.getfd(), True  # type: ignore[return-value]
    if not _pipe_is_ours() and _MODULE in sys.modules:
        share(anew=True)
    return (_pipe, False) if _pipe >= 0 else None


def inherit(fd: int, listens: bool) -> None:
    """Takes over what for_child() gave."""
    global _pipe
    if not listens:
        if _pipe_is_ours():  # the fork server's, which has one of its own
            os.close(_pipe)
        _pipe = -1
        os.set_inheritable(fd, False)
        _hold(fd)
        return
    from multiprocessing import resource_tracker

    resource_tracker._resource_tracker._fd = fd  # type: ignore[attr-defined]


def share(anew: bool = False) -> None:
    """Children that are started from now on have their tracker in common with this process. Starts none.

    anew: the program has closed the pipe.
    """
    global _pipe
    if anew:
        _pipe = -1
    if _pipe >= 0 or _started():
        return
    from .child import above

    try:
        reader, writer = os.pipe()
    except OSError:  # no descriptor is free. The child will have a tracker of its own
        return
    with suppress(OSError):
        _hold(above(writer))  # not in the place of a standard stream
    os.close(reader)


def _hold(fd: int) -> None:
    global _pipe, _identity
    status = os.fstat(fd)
    if _pipe >= 0:  # another thread was first
        os.close(fd)
    else:
        _pipe, _identity = fd, (status.st_dev, status.st_ino)


def _pipe_is_ours() -> bool:
    if _pipe < 0:
        return False
    try:
        status = os.fstat(_pipe)
    except OSError:
        return False
    return _identity == (status.st_dev, status.st_ino)


def _leave() -> None:
    """A child of os.fork() that is nobody's process has no part in it, in versions that see to that.

    Else the program would wait at its end for the tracker, and so for that child.
    """
    global _pipe
    module: Any = sys.modules.get("multiprocessing.resource_tracker")
    intent = getattr(module, "_fork_intent", None)
    if intent is not None and not getattr(intent, "preserve_fd", True) and _pipe_is_ours():
        os.close(_pipe)
        _pipe = -1


os.register_at_fork(after_in_child=_leave)


def ensure() -> None:
    """Has this process use the common tracker, and starts that if nobody has. To be called before register()."""
    global _pipe
    if _pipe < 0 or _started():
        return
    from multiprocessing import process, resource_tracker

    tracker: Any = resource_tracker._resource_tracker
    with tracker._lock:
        if tracker._fd is None and _pipe_is_ours() and (pid := _listener()) is not None:
            tracker._fd, _pipe = _pipe, -1
            if pid and process.parent_process() is None:
                tracker._pid = pid  # multiprocessing waits for it at the end, and it waits for all. A child must not


def _listener() -> int | None:
    """Starts the tracker unless one reads from the pipe. Its pid, 0 if another process's reads, None if neither can be.

    A tracker holds a lock on its end of the pipe. The lock is gone when the tracker is, or when the process that was
    about to start it.
    """
    from fcntl import LOCK_EX, LOCK_NB, flock

    try:
        reader = os.open(f"/proc/self/fd/{_pipe}", os.O_RDONLY | os.O_CLOEXEC)  # an open file of its own, to be locked
    except OSError:
        return None
    try:
        flock(reader, LOCK_EX | LOCK_NB)
        return _start(reader)
    except BlockingIOError:
        return 0
    except OSError:
        return None
    finally:
        os.close(reader)


def _start(reader: int) -> int:
    from multiprocessing import spawn, util
    from signal import SIG_BLOCK, SIG_SETMASK, SIGINT, SIGTERM, pthread_sigmask

    pass_on = [reader]
    with suppress(AttributeError, OSError, ValueError):  # no such stream, or one of the program's
        pass_on.append(sys.stderr.fileno())
    executable: Any = spawn.get_executable()
    flags = util._args_from_interpreter_flags()  # type: ignore[attr-defined]
    before = pthread_sigmask(SIG_BLOCK, (SIGINT, SIGTERM))  # the tracker ignores them, as soon as it runs
    try:
        return util.spawnv_passfds(executable, [executable, *flags, "-c", _PROGRAM.format(reader)], pass_on)
    finally:
        pthread_sigmask(SIG_SETMASK, before)
