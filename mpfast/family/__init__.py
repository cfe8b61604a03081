# SPDX-License-Identifier: MIT
"""What every shared object rests on: this process's place among the processes that share memory."""


def __getattr__(name: str) -> object:
    """The class's name in pickles from before there were rooms."""
    if name == "Handle":
        from .family import Handle

        return Handle
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
