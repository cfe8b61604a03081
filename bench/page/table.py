# SPDX-License-Identifier: MIT
"""The result as text for a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from ..base.facts import Facts
from ..base.impls import BASE, OURS, label
from ..base.units import PLACEMENT_NAMES, duration, span, times
from ..measure.results import Result

TO_THE_RIGHT = (4, 5, 6, 8, 9)
MARKS = {"slower": "!", "same": "~", "unclear": "~?", "faster": ""}


def headings(same: bool) -> tuple[str, ...]:
    return (
        *("", "primitive", "start method", "placement", BASE, label(OURS, same), "ratio", "95 % interval"),
        *("raw C", "above it"),
    )


def render(results: Sequence[Result], same: bool) -> str:
    """One line a cell; ! marks those slower than the stdlib, ~ those as fast, ~? those of which one cannot say."""
    rows = [headings(same), *map(row, results)]
    if not any(result.floor_ns for result in results):
        rows = [cells[:-2] for cells in rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(line(cells, widths) for cells in rows)


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
    """Each in one line; the page and the data have tracebacks in full."""
    missing = [result for result in results if result.status != "ok"]
    return [f"{result.status}: {result.cell.key}: {ends(result.reason)}" for result in missing]


def ends(text: str) -> str:
    """The first line and the last, which in a traceback is the one that matters."""
    first, *more = text.strip().splitlines() or [""]
    return f"{first} ... {more[-1].strip()}" if more else first


def counts(results: Sequence[Result]) -> dict[str, int]:
    verdicts = [result.verdict for result in results]
    names = ("faster", "same", "unclear", "slower", "failed", "skipped")
    return {"cells": len(results)} | {name: verdicts.count(name) for name in names}


def summary(results: Sequence[Result], facts: Facts) -> str:
    count = counts(results)
    missing = f"{count['failed']} failed and {count['skipped']} skipped" if count["skipped"] else f"{count['failed']}"
    return (
        f"{count['cells']} cells: {count['faster']} faster, {count['same']} the same within the noise (~), "
        f"{count['unclear']} too noisy to say (~?), {count['slower']} slower (!); could not be measured: {missing}. "
        f"Included in both times: {facts.overhead_ns:.0f} ns of loop per operation."
    )
