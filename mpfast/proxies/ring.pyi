# SPDX-License-Identifier: MIT
from collections.abc import Callable
from typing import Any

from typing_extensions import disjoint_base

from ..family.family import Handle

class Pass(Handle):
    """Whoever gets one when it is started is in the family. It is good for nothing else."""


@disjoint_base
class RingEnd:
    """One end. `gone(fd)` says whether the other end of the socket is closed. Any one thread may use it at a time."""

    def send(self, obj: Any) -> None: ...
    def recv(self) -> Any: ...
    def poll(self, seconds: float) -> bool: ...
    def end(self) -> None: ...

def propose() -> tuple[RingEnd, Any]: ...
def accept(offers: Any, fd: int, gone: Callable[[int], bool]) -> RingEnd: ...
def opened(ring: RingEnd, fd: int, gone: Callable[[int], bool], slice: int = ...) -> RingEnd: ...
