# SPDX-License-Identifier: MIT
"""The measuring process seen from outside. Jobs go in, answers come out, and in the end nothing of it is left.

It leads a process group of its own. Everything that it starts inherits its stderr, which is a pipe. When that pipe is
at its end, all of these processes are gone.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
from collections.abc import Mapping, Sequence
from time import monotonic
from typing import Any

from .. import command

COMMAND = command("worker")
CHUNK = 1 << 16
KEPT = 4000  # characters of stderr, for the reason of a failure


class Crew:
    """One measuring process and its descendants."""

    def __init__(
        self, command: Sequence[str] = COMMAND, patience: float = 5.0, environment: Mapping[str, str] | None = None
    ) -> None:
        self._patience = patience
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            process_group=0,
            env=environment,
        )
        assert self._process.stdin
        assert self._process.stdout
        assert self._process.stderr
        self._jobs = self._process.stdin
        self._said = {self._process.stdout.fileno(): b"", self._process.stderr.fileno(): b""}
        self._answers, self._errors = self._said
        self._open = set(self._said)

    def ask(self, job: dict[str, Any], seconds: float) -> dict[str, Any]:
        """The answer to a job, or what there is to say instead of one."""
        try:
            self._jobs.write(json.dumps(job).encode() + b"\n")
        except BrokenPipeError:
            return self._failed("the measuring process is gone")
        end = monotonic() + seconds
        while b"\n" not in self._said[self._answers]:
            if self._answers not in self._open:
                return self._failed("the measuring process died")
            if monotonic() >= end:
                return self._failed(f"no answer within {seconds:g} s")
            self._listen(end - monotonic())
        line, _, self._said[self._answers] = self._said[self._answers].partition(b"\n")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def end(self) -> bool:
        """Let it go. False if something had to be killed."""
        self._jobs.close()
        gone = self._wait_until_gone(self._patience)
        if not gone:
            self.kill()
        self._reap()
        return gone

    def kill(self) -> None:
        """First by SIGTERM. multiprocessing's resource tracker ignores it, and cleans up when the others are gone.

        The group's leader is not reaped yet, so its number still means this group.
        """
        os.killpg(self._process.pid, signal.SIGTERM)
        if not self._wait_until_gone(self._patience):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._reap()

    def _reap(self) -> None:
        """Reap the leader last. Once it is reaped, its number does not mean this group any more."""
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
            if stream:
                stream.close()
        self._open.clear()

    def _failed(self, what: str) -> dict[str, Any]:
        self._listen(0)
        tail = self._said[self._errors].decode(errors="replace")[-KEPT:].strip()
        return {"status": "failed", "reason": f"{what}\n{tail}".strip(), "measured": None}

    def _wait_until_gone(self, seconds: float) -> bool:
        end = monotonic() + seconds
        while self._open and monotonic() < end:
            self._listen(end - monotonic())
        return not self._open

    def _listen(self, seconds: float) -> None:
        """Take what comes from either pipe within this time."""
        ready, _, _ = select.select(list(self._open), [], [], max(0.0, seconds))
        for fd in ready:
            data = os.read(fd, CHUNK)
            if data:
                self._said[fd] += data
            else:
                self._open.discard(fd)
