# SPDX-License-Identifier: MIT
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from concurrent.futures._base import FINISHED as FINISHED
from concurrent.futures._base import PENDING as PENDING
from typing import Any

from typing_extensions import disjoint_base

from .answers import Answer
from .desk import Desk, Job

@disjoint_base
class Called(Job):
    """One call of a function."""

    def cancel_future(self) -> None: ...
    def fail(self, error: BaseException) -> None: ...

@disjoint_base
class ApplyResult(Called, Answer):
    """What Pool.apply_async() returns."""

    @property
    def _success(self) -> bool: ...
    @property
    def _value(self) -> Any: ...
    @property
    def _callback(self) -> Callable[[Any], object] | None: ...
    @property
    def _error_callback(self) -> Callable[[BaseException], object] | None: ...
    @property
    def pid(self) -> int | None: ...
    def running(self) -> bool: ...
    def cancel(self) -> bool: ...

def call(
    desk: Desk,
    func: Callable[..., Any],
    args: Iterable[Any],
    kwds: Mapping[str, Any],
    callback: Callable[[Any], object] | None,
    error_callback: Callable[[BaseException], object] | None,
    keeper: object,
    timeout: float | None,
    retries: int | None,
    priority: int | None = None,
) -> ApplyResult: ...

@disjoint_base
class FutureCall(Called):
    """A call whose result goes to a future."""

    @property
    def running(self) -> bool: ...
    def wait(self, timeout: float | None) -> None: ...
    def collect(self) -> None: ...
    def watch(self) -> None: ...
    def drop(self, running: bool) -> bool: ...
    def let_go(self) -> None: ...
    def cancel_future(self) -> None: ...

def call_for(
    desk: Desk,
    future: Future[Any],
    func: Callable[..., Any],
    args: Iterable[Any],
    kwds: Mapping[str, Any],
    timeout: float | None = None,
    retries: int | None = None,
    priority: int | None = None,
) -> None: ...
