# SPDX-License-Identifier: MIT
"""Files in /dev/shm that have no name until somebody asks for it.

Such a file is gone with its last descriptor and mapping, however its processes end. It may get a name once. After that
the kernel makes no second link, even when the name is gone. A file that shall never get a name carries the sticky bit,
which means nothing else for it, and which all processes see that have the file.
"""

from __future__ import annotations

import errno
import os
import stat
from fcntl import LOCK_EX, LOCK_NB, LOCK_UN, lockf
from threading import RLock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["alone", "among_others", "find", "link", "make", "path_of", "shut"]

FOLDER = "/dev/shm"
_REFUSED = (errno.EACCES, errno.EINVAL, errno.EISDIR, errno.ENOENT, errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM)

_threads: Any = RLock()
_usable: bool | None = None


def _renew() -> None:
    global _threads
    _threads = RLock()


os.register_at_fork(after_in_child=_renew)


class Habit:
    """Does the program read the name of each memory that it makes? Then the next one may as well have one at once.

    Threads may lose a count to each other, which costs no more than time.
    """

    _ENOUGH = 8  # names in a row
    _MOST = 16  # so that at most so many memories get a name without anybody reading any

    def __init__(self) -> None:
        self._read = 0

    def read(self) -> None:
        """The program has read the name of one that it made."""
        if self._read < self._MOST:
            self._read += 1

    def ends(self) -> None:
        """One ends whose name nobody has read."""
        self._read = 0

    def spend(self) -> bool:
        """Shall the next one have a name at once?"""
        if self._read < self._ENOUGH:
            return False
        self._read -= 1
        return True


habit = Habit()


def make(mode: int) -> int:
    """Returns the descriptor of a new file, or -1 where the system has no such files. Raises what open() raises."""
    global _usable
    if _usable is None:
        _usable = _can_be_linked()
    if not _usable:
        return -1
    return os.open(FOLDER, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, mode)


def _can_be_linked() -> bool:
    """Would the system make a link? A file that cannot have one is asked, so that a kill leaves nothing."""
    try:
        fd = os.open(FOLDER, os.O_TMPFILE | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600)
    except OSError as error:
        if error.errno in _REFUSED:
            return False
        raise
    try:
        os.link(f"/proc/self/fd/{fd}", f"{FOLDER}/mpfast-{os.getpid()}", src_dir_fd=fd)
    except OSError as error:
        return error.errno == errno.ENOENT and os.path.exists(f"/proc/self/fd/{fd}")
    finally:
        os.close(fd)
    return False  # it made one that it should not


def path_of(name: str) -> str:
    """Where a name of shm_open() lies."""
    return f"{FOLDER}/{name}"


def link(fd: int, name: str) -> None:
    """Gives the file a name. FileExistsError if another file has it, FileNotFoundError if this one had one before."""
    try:  # src_dir_fd has Python call linkat(), which can follow the link in /proc
        os.link(f"/proc/self/fd/{fd}", path_of(name), src_dir_fd=fd, follow_symlinks=True)
    except FileExistsError:
        raise
    except FileNotFoundError:
        raise unlinked() from None
    except OSError as error:
        reason = os.strerror(error.errno or 0)
        raise OSError(error.errno, f"cannot give shared memory a name: linkat: {reason}") from None


def unlinked() -> FileNotFoundError:
    return FileNotFoundError(errno.ENOENT, "this shared memory was unlinked before its name was read here")


def find(fd: int) -> str | None:
    """The name that the file has, however it got it. None if it has none. FileNotFoundError if it is to have none."""
    status = os.fstat(fd)
    if status.st_nlink == 0:
        if status.st_mode & stat.S_ISVTX:
            raise unlinked()
        return None
    with os.scandir(FOLDER) as entries:
        for entry in entries:
            if entry.inode() == status.st_ino and _is_on(entry, status.st_dev):
                return entry.name
    if os.fstat(fd).st_nlink == 0:
        raise unlinked()
    raise FileNotFoundError(errno.ENOENT, f"this shared memory has a name, which is not in this process's {FOLDER}")


def _is_on(entry: os.DirEntry[str], device: int) -> bool:
    try:
        return entry.stat(follow_symlinks=False).st_dev == device
    except FileNotFoundError:  # it was unlinked meanwhile
        return False


def shut(fd: int, mode: int) -> None:
    """The file gets no name any more, in any process. Where that is not permitted, only this process knows it."""
    try:  # noqa: SIM105  # suppress() takes longer than fchmod()
        os.fchmod(fd, mode | stat.S_ISVTX)
    except OSError:
        pass


def alone(fd: int) -> Any:
    """From now on no other thread names the file or takes its name, in no process, until among_others().

    Blocks as long as another one is in such a section of the same file. A process that is killed there lets the others
    in. Returns what among_others() wants.
    """
    while True:
        threads = _threads
        threads.acquire()
        try:
            lockf(fd, LOCK_EX | LOCK_NB)
            return threads
        except OSError as error:
            if error.errno not in (errno.EAGAIN, errno.EACCES):  # no such locks here: two processes may name it twice
                return threads
            threads.release()
        except BaseException:
            threads.release()
            raise
        lockf(fd, LOCK_EX)  # without keeping threads from other files. The next turn finds the lock ours


def among_others(fd: int, threads: Any) -> None:
    """The end of such a section."""
    try:
        lockf(fd, LOCK_UN)
    except OSError:
        pass
    finally:
        threads.release()
