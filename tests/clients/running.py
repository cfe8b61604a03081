# SPDX-License-Identifier: MIT
"""Programs of their own. What they say, and the end of every process that they start.

This process adopts what they leave behind, daemons in sessions of their own too. So whatever is below it in the tree of
processes was started by such a program, and can be ended by its number.
"""

import contextlib
import ctypes
import os
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

PR_SET_CHILD_SUBREAPER = 36
GRACE = 10  # seconds in which what a program left behind may end by itself
TRACKERS = 3  # seconds more for trackers, when the others have been ended


class Said(NamedTuple):
    """What a program printed, and how it ended. The code is None if it did not within its time."""

    code: int | None
    out: str
    left: int  # processes that it left behind, and that did not end by themselves

    def __str__(self):
        lines = [line for line in self.out.splitlines() if line.strip()]
        if any(line.startswith("Traceback") for line in lines):
            lines = [line for line in lines if not line.startswith((" ", "Traceback"))]
        text = " / ".join(lines if self.code == 0 else lines[-1:]) or "it said nothing"
        left = f", {self.left} processes left" if self.left else ""
        if self.code is None:
            return f"hangs: {text}"
        return (text if self.code == 0 else f"exit {self.code}: {text}") + left


def adopt():
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def children(pid):
    found = []
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        for task in os.listdir(f"/proc/{pid}/task"):
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                found += map(int, Path(f"/proc/{pid}/task/{task}/children").read_text().split())
    return found


def below(pid):
    """All processes that descend from this one, nearest first."""
    found = children(pid)
    for child in found:
        found += children(child)
    return found


def reap():
    """The zombies that this process has adopted."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def is_tracker(pid):
    """A tracker of multiprocessing's or loky's ends when nobody uses it, and removes the names of semaphores first."""
    try:
        return b"resource_tracker" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def end_all(grace):
    """Waits until nothing is below this process, then ends what is. Returns how many had to be ended."""
    begin, ended = time.monotonic(), set()
    while True:
        reap()
        left = below(os.getpid())
        if not left:
            return len(ended)
        late = time.monotonic() - begin - grace
        for pid in left if late > 0 else ():
            if late > TRACKERS or not is_tracker(pid):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                ended.add(pid)
        time.sleep(0.02)


def run(command, deadline, cwd=None, **environment):
    """Runs a command. Its output and errors go into one text, until it and all that it left have ended."""
    folder = tempfile.TemporaryDirectory(prefix="clients-", ignore_cleanup_errors=True)
    with folder, open(f"{folder.name}/out", "w+") as out:
        process = subprocess.Popen(
            [str(word) for word in command],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            cwd=cwd,
            env=os.environ | {"TMPDIR": folder.name} | environment,
            start_new_session=True,
        )
        code = None
        with contextlib.suppress(subprocess.TimeoutExpired):
            code = process.wait(deadline)
        left = end_all(GRACE if code is not None else 0)
        process.wait()
        out.seek(0)
        return Said(code, out.read(), left)
