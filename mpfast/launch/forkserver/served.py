# SPDX-License-Identifier: MIT
"""Served: a child that a fork server or a template has forked. It is no child of this process, which cannot reap it."""

from __future__ import annotations

import os

from ..child import Child

__all__ = ["Served", "stat_of"]


def stat_of(pid: int) -> list[bytes]:
    """What /proc/PID/stat says from the state of the process on, which is the first field here. OSError."""
    with open(f"/proc/{pid}/stat", "rb") as file:
        return file.read().rpartition(b")")[2].split()


class Served(Child):
    """Base of the Popen classes of such children. Other processes reap them, so their exit code is asked for."""

    def _status_of_zombie(self) -> int | None:
        """The server was killed, and the process that inherited the child has not reaped it."""
        try:
            if os.stat(f"/proc/{self.pid}").st_uid != os.geteuid():  # the kernel shows 0, whatever it is
                return None
            fields = stat_of(self.pid)
            return os.waitstatus_to_exitcode(int(fields[49])) if fields[0] == b"Z" else None
        except (OSError, IndexError, ValueError):
            return None

    def _status_elsewhere(self, block: bool) -> int | None:
        """What the server, or else the child, wrote into the table. Without one, the kernel did not tell in time."""
        while self.token:
            known: int | None = self.source.result(self.token)
            if known is not None:
                return known
            if self.source.ended():
                break
            if not block:
                return None
        code = self._status_of_zombie()
        return 255 if code is None else code

    def close(self) -> None:
        if self.token:
            self.source.drop(self.token)
        super().close()

    def __del__(self) -> None:
        if self.token:
            self.close()
