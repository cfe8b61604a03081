# SPDX-License-Identifier: MIT
"""The two implementations that every cell compares, and the proof of which of them ran."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterable
from typing import Any

from .errors import WrongClass
from .rivals import Rival

START_METHODS = ("fork", "forkserver", "spawn")
BASE, OURS = "stdlib", "mpfast"
SIDES = (BASE, OURS)


def contexts(method: str, same: bool = False, rival: str = "") -> dict[str, Any]:
    """The context of each side. `same` puts the stdlib on both, which shows how far apart equals can look.

    mpfast's comes first. The sides share multiprocessing's one fork server, and the side that starts it decides what
    it preloads. A program that uses mpfast has it preloaded, which costs the stdlib's children nothing.
    """
    stdlib = multiprocessing.get_context(method)
    if same:
        return {BASE: stdlib, OURS: stdlib}
    import mpfast  # here, so that --aa runs without it

    return {OURS: mpfast.get_context(method), BASE: Rival(rival, stdlib) if rival else stdlib}


def label(side: str, same: bool = False) -> str:
    """What a side is called in reports."""
    return "stdlib again" if same and side == OURS else side


def package(side: str, same: bool = False, rival: str = "") -> str:
    """The package that the objects of a side must come from."""
    if side == OURS and not same:
        return "mpfast"
    return rival if rival and not same else "multiprocessing"


def origins(things: Iterable[object]) -> list[str]:
    """Module and name of the class of each thing."""
    return [f"{type(thing).__module__}.{type(thing).__qualname__}" for thing in things]


def check_origins(side: str, found: Iterable[str], same: bool = False, rival: str = "") -> None:
    expected = package(side, same, rival)
    for name in found:
        if name.partition(".")[0] != expected:
            raise WrongClass(f"the {side} side ran {name}, which is not of {expected}")
