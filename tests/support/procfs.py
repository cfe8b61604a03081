# SPDX-License-Identifier: MIT
"""The entries of /proc for processes that are known by their pids.

After `unshare --pid --fork`, for example, a process sees the /proc of the namespace outside its own. There it
has a number that is not its pid, and so has each process that it knows.
"""

import contextlib
import os
from pathlib import Path

GONE = (FileNotFoundError, ProcessLookupError)
_known = {}  # (pid of this process, folder, number) -> the name of the entry


def foreign():
    """Is /proc that of another namespace of pids?"""
    return os.readlink("/proc/self") != str(os.getpid())


def status(entry, folder="/proc"):
    """The fields of an entry's status, each as a list of words. NSpid and NSsid have a word for each namespace.

    The first is that of /proc, and the last is that of the process itself.
    """
    lines = Path(f"{folder}/{entry}/status").read_text().splitlines()
    return {field: words.split() for field, _, words in (line.partition(":") for line in lines)}


def pid(entry, folder="/proc"):
    """The number for us of the process or thread that has this entry. 0 if it is not of our namespace, or is gone."""
    if not foreign():
        return int(entry)
    with contextlib.suppress(*GONE, PermissionError):
        if os.readlink(f"{folder}/{entry}/ns/pid") == os.readlink("/proc/self/ns/pid"):
            return int(status(entry, folder)["NSpid"][-1])
    return 0


def name(number, folder="/proc"):
    """The name of the entry that a process or thread has in this folder. FileNotFoundError if it has none."""
    if not foreign():
        return str(number)
    key = (os.getpid(), folder, number)
    for entry in (_known.get(key), *filter(str.isdigit, os.listdir(folder))):
        if entry and pid(entry, folder) == number:
            _known[key] = entry
            return entry
    raise FileNotFoundError(f"{folder} has no entry for {number}")


def folder(pid):
    """The folder of a process. FileNotFoundError if it has none."""
    return Path("/proc", name(pid))


def thread(pid, tid):
    """The folder of a thread. FileNotFoundError if it has none."""
    tasks = folder(pid) / "task"
    return tasks / name(tid, str(tasks))
