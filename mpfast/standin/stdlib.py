# SPDX-License-Identifier: MIT
"""The home of multiprocessing's own classes once mpfast's stand in their places (see install.py).

A class is pickled by module and name, and the names in multiprocessing are taken. So each class that is replaced moves
here. Objects that were made of it before can still be pickled, and classes that derive from it stay as they were.
"""

from __future__ import annotations


def keep(cls: type) -> None:
    """Makes this module the home of a class."""
    globals()[cls.__qualname__] = cls
    cls.__module__ = __name__
