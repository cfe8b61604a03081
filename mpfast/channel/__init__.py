# SPDX-License-Identifier: MIT
"""What a queue is made of. mpfast.queues is its face."""


def __getattr__(name: str) -> object:
    """The exception's name in pickles from before there were rooms."""
    if name == "ShutDown":
        from .channel import ShutDown

        return ShutDown
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
