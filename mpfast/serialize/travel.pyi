# SPDX-License-Identifier: MIT
from multiprocessing.resource_sharer import DupFd
from typing import Any

from typing_extensions import disjoint_base

@disjoint_base
class Doorbell:
    """A pipe of this process, into which the receivers write the keys of what they took."""

class Traveller(DupFd):
    """A descriptor that has arrived in another process. It may be pickled for the next one as it is."""
    def __init__(self, ticket: tuple[str, int], place: bytes) -> None: ...

def reduce(shared: DupFd) -> tuple[Any, ...]: ...
def take(place: bytes) -> int: ...
def forget() -> None: ...
def attend(ours: Doorbell) -> None: ...
