# SPDX-License-Identifier: MIT
from multiprocessing.process import BaseProcess

from typing_extensions import disjoint_base

from .desk import Job
from .drain import Drain

@disjoint_base
class Timed:
    """An element that may run for a time only."""

class Engine(Drain):
    """The desk of a pool."""

    def settle(self, dead: dict[int, BaseProcess]) -> None: ...
    def break_down(self, error: BaseException) -> None: ...
    def taker_of(self, name: int, number: int) -> int | None: ...
    def running_tasks(self) -> dict[int, tuple[str, int | None]]: ...
    def take_back(self, job: Job, name: int) -> bool: ...
    def end_timed(self, name: int) -> None: ...
