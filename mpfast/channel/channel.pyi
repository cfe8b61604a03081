# SPDX-License-Identifier: MIT
import sys

from typing_extensions import disjoint_base

from ..family.family import Handle

if sys.version_info >= (3, 13):
    from queue import ShutDown as ShutDown
else:
    class ShutDown(Exception):
        """put() or get() was called after shutdown()."""

@disjoint_base
class Channel(Handle):
    """This process's hold of one queue in shared memory."""

    def __init__(self, maxsize: int, budget: int) -> None: ...

@disjoint_base
class Pin:
    """Keeps a message in shared memory, as long as there are views of its buffers."""

def address_space() -> int: ...

@disjoint_base
class Bell:
    """How event loops are told of changes to a queue."""

    def __init__(self, channel: Channel) -> None: ...
    def fileno(self) -> int: ...
    def silence(self) -> None: ...
    def unheard(self) -> bool: ...
    def arm(self, getting: bool) -> bool: ...
