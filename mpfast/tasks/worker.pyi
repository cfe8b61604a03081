# SPDX-License-Identifier: MIT
from collections.abc import Callable, Iterable
from types import FrameType
from typing import Any

from typing_extensions import disjoint_base

from .care import Care
from .rings import Ring

@disjoint_base
class Worker:
    """A worker at its seat. `how` says how exceptions travel."""

    def __init__(self, tasks: Ring, results: Ring, number: int, how: Any) -> None: ...
    def sit(self) -> None: ...
    def keep_state(self, state: object) -> None: ...
    def with_state(self, function: Callable[..., Any]) -> Callable[..., Any]: ...
    def ready(self) -> None: ...
    def leave(self) -> None: ...
    def interrupted(self, number: int, frame: FrameType | None) -> None: ...
    def refuse(self, error: BaseException) -> None: ...
    def turn(self) -> bool: ...

NAMES: dict[str, str]

def guard_worker() -> None: ...
def work(
    tasks: Ring,
    results: Ring,
    number: int,
    initializer: Callable[..., object] | None,
    initargs: Iterable[Any],
    maxtasks: int | None,
    kind: str,
    care: Care | None = None,
) -> None: ...
