# SPDX-License-Identifier: MIT
from collections.abc import Callable
from typing import Any, Self

from typing_extensions import disjoint_base

from .by_value import REFUSALS as REFUSALS
from .by_value import instead as instead
from .rings import Ring

@disjoint_base
class Function:
    """A function, ready to be dealt with elements."""

    @property
    def call(self) -> Callable[..., Any]: ...
    @property
    def stored(self) -> bytes: ...
    @property
    def named(self) -> bool: ...

@disjoint_base
class Copy:
    """A copy of a task block."""

@disjoint_base
class Cells:
    """A group of elements, each a payload of its own, before it is dealt."""

    def __new__(cls, ring: Ring) -> Self: ...
    def let_go(self) -> None: ...

@disjoint_base
class Named:
    """A function that was loaded by its name."""

@disjoint_base
class Opened:
    """A task block that a worker has taken."""
