# SPDX-License-Identifier: MIT
"""The base of every shared object, this process's place among the processes that share memory."""


def __getattr__(name: str) -> object:
    """Finds the class under the name that older pickles have for it."""
    if name == "Handle":
        from .family import Handle

        return Handle
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
