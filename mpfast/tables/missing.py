# SPDX-License-Identifier: MIT
"""MISSING, which stands for the value of a key that a Dict does not have."""

from __future__ import annotations


class Missing:
    """The class of MISSING."""

    def __repr__(self) -> str:
        return "MISSING"

    def __reduce__(self) -> str:
        return "MISSING"  # the one of mpfast.shared

    __module__ = "mpfast.shared"


MISSING = Missing()
