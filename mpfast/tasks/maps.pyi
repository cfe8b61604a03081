# SPDX-License-Identifier: MIT
from collections.abc import Callable
from typing import Any

from typing_extensions import disjoint_base

from .answers import Answer
from .desk import SKIPPED as SKIPPED
from .desk import Desk, Job

@disjoint_base
class Fed(Job):
    """A function for many elements, which are dealt as results come."""

    @property
    def done(self) -> int: ...
    def is_lost(self) -> bool: ...
    def deal_collected(self) -> None: ...
    def deal_apart(self, failure: Exception | None) -> None: ...

@disjoint_base
class MapResult(Fed, Answer):
    """What Pool.map_async() and Pool.starmap_async() return."""

    @property
    def _success(self) -> bool: ...
    @property
    def _value(self) -> Any: ...
    @property
    def _callback(self) -> Callable[[list[Any]], object] | None: ...
    @property
    def _error_callback(self) -> Callable[[BaseException], object] | None: ...
    def fail(self, error: BaseException) -> None: ...
    def cancel(self) -> bool: ...

def map_elements(
    desk: Desk,
    func: Callable[..., Any],
    elements: list[Any] | tuple[Any, ...] | range,
    chunksize: int | None,
    star: bool,
    callback: Callable[[list[Any]], object] | None = None,
    error_callback: Callable[[BaseException], object] | None = None,
    lazy: bool = True,
    timeout: float | None = None,
    retries: int | None = None,
) -> MapResult: ...
