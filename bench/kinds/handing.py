# SPDX-License-Identifier: MIT
"""What an object needs that is pickled for a child, where no child is started."""

from __future__ import annotations

import os


class Starting:
    """Stands for a child that is being started. What is pickled for it is unpickled in this process."""

    class DupFd:
        def __init__(self, fd: int) -> None:
            self.fd = os.dup(fd)

        def detach(self) -> int:
            return self.fd

    @staticmethod
    def duplicate_for_child(fd: int) -> int:
        return fd
