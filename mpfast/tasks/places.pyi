# SPDX-License-Identifier: MIT
from queue import Full as Full

from typing_extensions import disjoint_base

from .desk import Desk, Job

@disjoint_base
class Places(Job):
    """What a caller waits for before it makes a call."""

    def must_wait(self) -> bool: ...

def check_places(backlog: int | None, on_full: str) -> None: ...
def set_places(desk: Desk, backlog: int | None, on_full: str) -> None: ...
