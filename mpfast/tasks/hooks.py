# SPDX-License-Identifier: MIT
"""When pools and executors have the engine of the standard library.

They have it in a program that has changed how the library's work inside, and on a system that refuses what mpfast's
needs.
"""

from __future__ import annotations

import errno

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

__all__ = ["Hooks", "needs_ours", "refuse_ours", "refused"]


def refused(error: OSError) -> bool:
    """Did making the engine fail because of a limit, or a filter, that will be there the next time too?"""
    return error.errno in (errno.EFBIG, errno.ENOSYS, errno.EPERM)


def needs_ours(what: str) -> TypeError:
    """For a caller that wants what the standard library's engine does not have."""
    return TypeError(f"{what} needs mpfast's engine, which this class or its context does without")


def refuse_ours(**options: Any) -> None:
    """Raises it if one of these was given. None is not given."""
    for name, value in options.items():
        if value is not None:
            raise needs_ours(name)


class Hooks:
    """Hooks(theirs, names): the methods with these names in a class of the standard library, as they are now."""

    def __init__(self, theirs: type, names: Iterable[str]) -> None:
        self.theirs = theirs
        self.methods = {name: vars(theirs)[name] for name in names if name in vars(theirs)}

    def changed(self, made: Any, face: type) -> bool:
        """Is one of them overridden for `made`, or replaced in the library? The class `face` may override them."""
        for name, method in self.methods.items():
            owner = next(cls for cls in type(made).__mro__ if name in vars(cls))
            if owner is not face and (owner is not self.theirs or vars(owner)[name] is not method):
                return True
        return any(name in vars(made) for name in self.methods)
