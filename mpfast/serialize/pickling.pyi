# SPDX-License-Identifier: MIT
from multiprocessing.resource_sharer import DupFd
from pickle import PickleBuffer
from typing import Any

from typing_extensions import disjoint_base

@disjoint_base
class Pickled:
    """What the pickler has produced so far. It does not refer to the pickler, so its parts go with their last user."""

    def write(self, part: Any) -> None: ...
    def keep_in_band(self, buffer: PickleBuffer) -> bool: ...
    def reduce_descriptor(self, shared: DupFd) -> tuple[Any, ...]: ...

@disjoint_base
class Pickling:
    """One object being pickled, with its pickler and what that has produced so far."""

    @property
    def stream(self) -> list[Any]: ...
    @property
    def buffers(self) -> list[PickleBuffer]: ...

@disjoint_base
class Place:
    """Where a program may replace ForkingPickler: the name `_ForkingPickler` in modules of ours and of the stdlib."""

    def __init__(self, /, *args: Any, **kwargs: Any) -> None: ...
    def add(self, names: dict[str, Any]) -> None: ...
