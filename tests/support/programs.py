# SPDX-License-Identifier: MIT
"""Programs of their own that tests run. What they print, how they end, and that no process of them is left."""

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import textwrap
from typing import NamedTuple

import procfs
from harness import until

DEADLINE = 60


class Done(NamedTuple):
    code: int
    out: str
    err: str

    def lines(self):
        """What it printed. It must have ended well, without a complaint."""
        assert (self.code, self.err) == (0, "")
        return self.out.splitlines()


def write(path, text, **names):
    """Writes a program into a file. {name} in it becomes the value."""
    text = textwrap.dedent(text)
    for name, value in names.items():
        text = text.replace("{" + name + "}", str(value))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def session(sid):
    """The processes of a session, except zombies."""
    found, depth = set(), len(procfs.status("self")["NSpid"]) - 1
    for entry in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(*procfs.GONE):
            status = procfs.status(entry)
            if status["NSsid"][depth:][:1] == [str(sid)] and status["State"][0] not in "ZX":
                found.add(procfs.pid(entry))
    return found - {0}


def run(*arguments, before=(), stdin="", deadline=DEADLINE, cwd=None, **environment):
    """Runs Python with these arguments. In a session of its own, of which no process may be left soon after.

    before: a command that runs it in turn.
    """
    with tempfile.TemporaryDirectory(prefix="mp-") as temporary:  # multiprocessing leaves files when it is killed
        process = subprocess.Popen(
            [*before, sys.executable, *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=cwd,
            env=os.environ | {"TMPDIR": temporary} | environment,
            start_new_session=True,
        )
        try:
            out, err = process.communicate(stdin, timeout=deadline)
            until(lambda: not session(process.pid), "whatever the program has started ends with it")
        finally:
            end(process)
        return Done(process.returncode, out, err)


def end(process):
    """Kills what is left of a program that was started in a session of its own."""
    for pid in session(process.pid):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    process.kill()
    process.wait()
    for stream in (process.stdin, process.stdout, process.stderr):
        if stream:
            stream.close()
