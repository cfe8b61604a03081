# SPDX-License-Identifier: MIT
"""Functions and arguments that have no name by which a worker could import them. cloudpickle sends them by value.

It is asked only where pickle refuses, or where the name leads nowhere. What pickle can send is sent as ever. So is
everything without cloudpickle, or with mpfast.strict_pickling = True.
"""

from __future__ import annotations

import io
import pickle
import sys
import types
from multiprocessing.reduction import ForkingPickler

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["REFUSALS", "ByValue", "instead", "without_name"]

REFUSALS = (pickle.PicklingError, AttributeError, TypeError)  # what pickle raises for what has no name


class ByValue:
    """Becomes in a worker what was pickled by value."""

    __slots__ = ("data",)

    def __init__(self, data: bytes) -> None:
        self.data = data

    def __reduce__(self) -> tuple[Any, ...]:
        return pickle.loads, (self.data,)


def _dumps(value: Any) -> bytes | None:
    """None: cloudpickle is not to be used, or not installed."""
    if getattr(sys.modules["mpfast"], "strict_pickling", False):
        return None
    try:
        import cloudpickle  # type: ignore[import-not-found,import-untyped,unused-ignore]
    except ImportError:
        return None
    file = io.BytesIO()
    pickler = cloudpickle.Pickler(file)
    pickler.dispatch_table = {**pickler.dispatch_table, **ForkingPickler._extra_reducers}  # type: ignore[attr-defined]
    pickler.dump(value)
    return file.getvalue()


def instead(value: Any, error: BaseException) -> ByValue:
    """What is pickled in place of a value for which pickle has raised this error. Raises it if there is nothing."""
    try:
        data = _dumps(value)
    except Exception:  # the first error tells more
        data = None
    if data is None:
        raise error
    return ByValue(data)


def without_name(call: Any, method: str) -> Any:
    """A function of a main module that no worker can import, by value. Everything else as it is."""
    if method == "fork" or not isinstance(call, types.FunctionType) or call.__module__ != "__main__":
        return call
    main = sys.modules["__main__"]
    if getattr(main.__spec__, "name", None) is not None or getattr(main, "__file__", None) is not None:
        return call
    data = _dumps(call)
    return call if data is None else ByValue(data)
