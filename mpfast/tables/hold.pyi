# SPDX-License-Identifier: MIT
from types import TracebackType
from typing import Any, Self

from typing_extensions import disjoint_base

from ..errors import CorruptedSharedError
from ..sync.mutex import Mutex
from .stats import TableStats

@disjoint_base
class WritersLock(Mutex):
    """The lock of a Dict's or List's writers. The thread that holds it may acquire it again. Readers do not ask for it.

    acquire(), release() and `with` are those of an RLock.
    """

    def acquire(self, block: bool = True, timeout: float | None = None) -> bool: ...
    def release(self) -> None: ...

@disjoint_base
class SharedTable:
    """The base of Dict and List."""

    _corrupted: type[CorruptedSharedError]
    @property
    def name(self) -> str: ...
    def get_lock(self) -> WritersLock: ...
    def recover(self) -> bool: ...
    def stats(self) -> TableStats: ...
    def __enter__(self) -> Self: ...
    def __exit__(
        self,
        kind: type[BaseException] | None = None,
        value: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None: ...
    def __reduce__(self) -> tuple[Any, ...]: ...
