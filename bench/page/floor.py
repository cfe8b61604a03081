# SPDX-License-Identifier: MIT
"""Which of the machine's yardsticks stands beside a cell that has no floor of its own."""

from __future__ import annotations

from ..kinds.scenario import Cell

COPIES = {"1 KiB": "copy_1k", "64 KiB": "copy_64k", "1 MiB": "copy_1m", "64 MiB": "copy_64m"}
ROUND_TRIPS = ("ping-pong", "round trip")


def name_of(cell: Cell) -> str:
    """What a cell cannot be faster than, or "" if nothing of the kind can be said."""
    scenario = cell.scenario
    if scenario.kind == "launch":
        return "fork"
    for size, name in COPIES.items():
        if scenario.payload.startswith(size) and "array" not in scenario.payload:
            return name
    if any(words in scenario.title for words in ROUND_TRIPS):
        return f"turn_{cell.placement}"
    return "" if scenario.key.startswith("make_") or scenario.key == "event_is_set" else "swap"
