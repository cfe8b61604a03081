# SPDX-License-Identifier: MIT
"""Did this change make anything slower? `make gate BASE=<commit>`.

Two commits are built and measured against each other, cell by cell, in interleaved batches. What looks slower is
measured again, and counts only if it is slower again. Beside that, system calls and instructions are counted.
"""

from __future__ import annotations

import argparse
import json
import sys
import traceback
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from ..base.countdown import Countdown
from ..base.deadline import Limits
from ..base.facts import gather, revision
from ..base.units import span, times
from ..kinds.scenario import Cell
from ..suites.plan import cells
from . import guard
from .builds import FOLDER, Build, BuildError, build
from .guard import Count, CountError
from .versus import ROUNDS, Comparison, compare

NOTHING_SLOWER, SLOWER, NOT_MEASURED, INTERRUPTED = 0, 1, 2, 130

EPILOG = """exit status: 0 nothing is slower, 1 something is, 2 it could not be measured (a commit that does not build,
a cell that failed, nothing to compare), 130 after Ctrl-C."""

Step = TypeVar("Step", Comparison, Count)


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="make gate BASE=... ARGS=...", description=__doc__, epilog=EPILOG)
    add = parser.add_argument
    add("--base", required=True, metavar="COMMIT", help="what it is compared with")
    add("--head", default="HEAD", metavar="COMMIT", help="what may be slower, HEAD by default")
    add("--only", action="append", default=[], metavar="TEXT", help="cells whose name contains this")
    add("--no-count", action="store_true", help="measure times only")
    add("--json", type=Path, default=FOLDER / "last.json", metavar="FILE", help="where the data goes")
    return parser


def gated(only: Sequence[str]) -> list[Cell]:
    """The cells that the gate measures.

    They run on one CPU. Across CPUs a time says more about wake-ups than about code, and can fall when the code gets
    slower. Except where processes are started, one start method is enough, because a lock does the same under each.
    """
    return [
        cell
        for cell in cells(only)
        if cell.placement == "one_cpu"
        and not cell.scenario.rival
        and (cell.method == "fork" or cell.scenario.kind == "launch")
        and (cell.scenario.kind != "launch" or cell.scenario.units == 1)
    ]


@dataclass
class Report:
    """What the gate has found."""

    base: Build
    head: Build
    first: list[Comparison] = field(default_factory=list)
    again: list[Comparison] = field(default_factory=list)
    counted: list[Count] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def suspects(self) -> list[Cell]:
        return [comparison.cell for comparison in self.first if comparison.slower]

    @property
    def slower(self) -> list[Comparison]:
        """Slower both times. Returned is the second comparison."""
        return [comparison for comparison in self.again if comparison.slower]

    @property
    def more(self) -> list[Count]:
        return [count for count in self.counted if count.more]

    @property
    def failed(self) -> list[Comparison]:
        return [comparison for comparison in (*self.first, *self.again) if comparison.status == "failed"]

    @property
    def compared(self) -> int:
        return sum(comparison.status == "ok" for comparison in self.first)

    def status(self) -> int:
        if self.slower or self.more:
            return SLOWER
        return NOT_MEASURED if self.failed or not self.compared or self.notes else NOTHING_SLOWER

    def lines(self) -> Iterator[str]:
        first = {comparison.cell.key: comparison for comparison in self.first}
        commits = f"base {self.base.short}, head {self.head.short}"
        for found in self.slower:
            before = first[found.cell.key]
            yield (
                f"slower: {found.cell.key} takes {times(found.factor)} the time, {span(found.interval)} "
                f"(before: {times(before.factor)}, {span(before.interval)}); {commits}"
            )
        for count in self.more:
            yield f"more: {count.cell.key} takes {count.head:g} {count.tool.unit}, not {count.base:g}; {commits}"
        for comparison in (*self.first, *self.again):
            if comparison.status != "ok":
                yield f"{comparison.status}: {comparison.cell.key}: {comparison.reason}"
        yield from self.notes
        keys = {found.cell.key for found in self.slower} | {count.cell.key for count in self.more}
        yield f"{self.compared} cells compared, {len(keys)} slower"

    def as_json(self) -> dict[str, Any]:
        return {
            "schema": 1,
            "base": self.base.commit,
            "head": self.head.commit,
            "facts": gather(False).as_json(),
            "first": [comparison.as_json() for comparison in self.first],
            "again": [comparison.as_json() for comparison in self.again],
            "counted": [count.as_json() for count in self.counted],
            "notes": self.notes,
        }


def followed(steps: Iterable[Step], total: int) -> Iterator[Step]:
    """The same steps, with a line that says how far they are."""
    progress = Countdown(total, sys.stderr)
    try:
        for step in steps:
            progress.step(step.cell.key)
            yield step
    finally:
        progress.close()


def measured(cells: list[Cell], builds: tuple[Build, Build]) -> list[Comparison]:
    found: dict[str, Comparison] = {}
    steps = compare(cells, builds, Limits())
    for comparison in followed(steps, ROUNDS * len(cells)):
        found[comparison.cell.key] = comparison
    return list(found.values())


def count_all(report: Report, cells: list[Cell]) -> None:
    able = {comparison.cell.key for comparison in report.first if comparison.status == "ok"}
    chosen = [cell for cell in cells if cell.scenario.kind == "alone" and cell.key in able]
    tools = [tool for tool in guard.TOOLS if tool.there]
    for tool in guard.TOOLS:
        if tool not in tools:
            print(f"{tool.program} is not installed: {tool.unit} are not compared", file=sys.stderr)
    try:
        steps = guard.counts(chosen, (report.base, report.head))
        report.counted.extend(followed(steps, len(chosen) * len(tools)))
    except CountError as error:
        report.notes.append(str(error))


def run(options: argparse.Namespace, cells: list[Cell]) -> Report:
    builds = build("base", options.base), build("head", options.head)
    report = Report(*builds)
    print(f"base {builds[0].short}, head {builds[1].short}: {len(cells)} cells", file=sys.stderr)
    report.first = measured(cells, builds)
    if report.suspects:
        report.again = measured(report.suspects, builds)
    if not options.no_count:
        count_all(report, cells)
    return report


def main(arguments: list[str] | None = None) -> int:
    try:
        return judge(arguments)
    except Exception:  # Python would end with 1, which here means that something is slower
        traceback.print_exc()
        return NOT_MEASURED


def judge(arguments: list[str] | None) -> int:
    command_line = parser()
    options = command_line.parse_args(arguments)
    chosen = gated(options.only)
    if not chosen:
        command_line.error(f"no cell's name contains {' or '.join(map(repr, options.only))}")
    if options.head == "HEAD" and revision()[1]:
        print("the working tree has changes, but the commit HEAD is measured, without them", file=sys.stderr)
    try:
        report = run(options, chosen)
    except BuildError as error:
        print(error)
        return NOT_MEASURED
    except KeyboardInterrupt:
        return INTERRUPTED
    options.json.parent.mkdir(parents=True, exist_ok=True)
    options.json.write_text(json.dumps(report.as_json(), indent=1) + "\n")
    print(*report.lines(), sep="\n")
    return report.status()
