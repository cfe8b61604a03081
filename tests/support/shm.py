# SPDX-License-Identifier: MIT
"""Which files in /dev/shm are ours? Other programs of this machine make some too, as do other runs of these tests."""

import contextlib
import os
import re
from pathlib import Path

import procfs

FOLDER = Path("/dev/shm")
USED = re.compile(rf"{FOLDER}/([^/\n]+)")
NAMED = re.compile(r"(?:joblib_memmapping_folder_|pym-)(\d+)")  # names with the pid of the process that made them


def listed():
    return set(os.listdir(FOLDER)) if FOLDER.is_dir() else set()


def foreign(names, family):
    """The files that are not of a family of processes. family() returns the ids of those processes.

    A file is not if another user owns it, if its name has the pid of a living process outside the family, or if such a
    process has it open or mapped. Any other file counts as the family's. When a test leaks one, either no process uses
    it any more or only the family does. A leak that an orphan still uses is missed, because its parent does not say
    that it is of the family. But a test that leaves a process behind fails for that.
    """
    if not names:
        return set()
    living = {name for name in os.listdir("/proc") if name.isdigit()}
    inside = set(filter(None, map(entry, family())))  # asked last, or a child that is born in between would be outside
    outside = living - inside
    theirs = {name for name in names if owned_by_another(name) or pid_in(name) in outside}
    return theirs | (names & used_by(outside))


def owned_by_another(name):
    with contextlib.suppress(FileNotFoundError):
        return os.lstat(FOLDER / name).st_uid != os.geteuid()
    return False


def entry(pid):
    """The name of a process's entry in /proc. None if it has ended."""
    with contextlib.suppress(FileNotFoundError):
        return procfs.name(pid)
    return None


def pid_in(name):
    match = NAMED.match(name)
    return match and match[1]


def used_by(pids):
    """The files, or folders with files, that one of the processes has open or mapped. They are entries of /proc."""
    found = set()
    for pid in pids:
        with contextlib.suppress(OSError):  # it has ended, or it is another user's
            found.update(USED.findall(Path(f"/proc/{pid}/maps").read_text()))
        with contextlib.suppress(OSError):
            for fd in os.listdir(f"/proc/{pid}/fd"):
                with contextlib.suppress(OSError):
                    found.update(USED.findall(os.readlink(f"/proc/{pid}/fd/{fd}")))
    return found
