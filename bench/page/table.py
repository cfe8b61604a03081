# SPDX-License-Identifier: MIT
"""The result as text for a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from ..base.facts import Facts
from ..base.impls import BASE, OURS, label
from ..base.units import PLACEMENT_NAMES, duration, span, times
from ..measure.results import VERDICTS, Result

TO_THE_RIGHT = (4, 5, 6, 8, 9)
MARKS = {"slower": "!", "same": "~", "unclear": "~?", "faster": ""}
LEGEND = """ratio: how many times faster than the stdlib. The interval holds its true median with 95 % confidence.
! slower than the stdlib   ~ no clear difference   ~? too noisy to tell
one CPU: all processes share one processor. two CPUs: the two sides of the work have one each."""
RAW_C = "raw C: what the kernel takes for the same by a program in C. The last column is mpfast in times of that."


def headings(same: bool) -> tuple[str, ...]:
    return (
        *("", "what is done", "start method", "placement", BASE, label(OURS, same), "ratio", "95 % interval"),
        *("raw C", "of raw C"),
    )


def render(results: Sequence[Result], same: bool) -> str:
    """One line for each cell. legend() explains its marks."""
    rows = [headings(same), *map(row, results)]
    if not has_floors(results):
        rows = [cells[:-2] for cells in rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(line(cells, widths) for cells in rows)


def has_floors(results: Sequence[Result]) -> bool:
    return any(result.floor_ns for result in results)


def legend(results: Sequence[Result]) -> str:
    """What the table's columns and marks mean."""
    return f"{LEGEND}\n{RAW_C}" if has_floors(results) else LEGEND


def row(result: Result) -> tuple[str, ...]:
    cell = result.cell
    head = (cell.scenario.title, cell.method, PLACEMENT_NAMES[cell.placement])
    if result.status != "ok":
        return ("?", *head, "-", "-", "-", result.status, "", "")
    numbers = (duration(result.base_ns), duration(result.ours_ns), times(result.ratio), span(result.interval))
    return (MARKS[result.verdict], *head, *numbers, *above_floor(result))


def above_floor(result: Result) -> tuple[str, str]:
    """What the kernel's part takes in C, and how many times as long mpfast does."""
    if result.floor_ns is None:
        return ("", "")
    return (duration(result.floor_ns), times(result.ours_ns / result.floor_ns))


def line(cells: Sequence[str], widths: Sequence[int]) -> str:
    padded = (
        text.rjust(width) if index in TO_THE_RIGHT else text.ljust(width)
        for index, (text, width) in enumerate(zip(cells, widths, strict=True))
    )
    return "  ".join(padded).rstrip()


def failures(results: Sequence[Result]) -> list[str]:
    """Each in one line. The page and the data have tracebacks in full."""
    missing = [result for result in results if result.status != "ok"]
    return [f"{result.status}: {result.cell.key}: {ends(result.reason)}" for result in missing]


def ends(text: str) -> str:
    """The first line and the last, which in a traceback is the one that matters."""
    first, *more = text.strip().splitlines() or [""]
    return f"{first} ... {more[-1].strip()}" if more else first


def counts(results: Sequence[Result]) -> dict[str, int]:
    verdicts = [result.verdict for result in results]
    return {"cells": len(results)} | {name: verdicts.count(name) for name in VERDICTS}


def summary(results: Sequence[Result], facts: Facts) -> str:
    count = counts(results)
    parts = (f"{count[name]} {text}" for name, text in VERDICTS.items() if count[name] or name != "skipped")
    return (
        f"{count['cells']} measurements: {', '.join(parts)}.\n"
        f"Both times include {facts.overhead_ns:.0f} ns for one turn of the loop around the operation."
    )
