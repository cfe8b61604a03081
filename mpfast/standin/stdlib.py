# SPDX-License-Identifier: MIT
"""Where multiprocessing's own classes are found once mpfast's stand in their places: see install.py.

A class is pickled by module and name, and the names in multiprocessing are taken. So each class that is replaced moves
here: objects that were made of it before can still be pickled, and classes that derive from it go on as they were.
"""

from __future__ import annotations


def keep(cls: type) -> None:
    """Makes this module the home of a class."""
    globals()[cls.__qualname__] = cls
    cls.__module__ = __name__
