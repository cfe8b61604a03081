# SPDX-License-Identifier: MIT
"""The command line of the harness."""

from __future__ import annotations

import argparse
import importlib
import json
import sys
from pathlib import Path
from typing import Any

from . import ROOT
from .base.facts import Facts, gather
from .base.impls import OURS
from .floors import yardsticks
from .history.recorded import recorded
from .kinds.alone import overhead_ns
from .measure.progress import Progress
from .measure.results import Result
from .measure.runner import Run
from .page import plots, table
from .page.report import write_page
from .suites.plan import FULL, QUICK, Effort, cells, exactly, hurried

MEASURED, NOT_ALL_MEASURED, INTERRUPTED = 0, 2, 130

EPILOG = """exit status: 0 if every cell was measured or this machine cannot have it (two CPUs, say), 2 if one failed,
130 after Ctrl-C, which keeps what was measured until then."""


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="make bench ARGS=...",
        description="How much faster than multiprocessing is mpfast, and where?",
        epilog=EPILOG,
    )
    add = parser.add_argument
    add(
        "--only",
        action="append",
        default=[],
        metavar="locks|values|tables|queues|connections|launch|TEXT",
        help="cells whose name contains this",
    )
    add("--quick", action="store_true", help="fewer cells and wider intervals, in less than a minute")
    add("--pairs", type=positive, metavar="N", help="exactly N pairs in every cell")
    add(
        "--aa",
        action="store_true",
        help="the stdlib against itself, to see how far apart equals look on this machine",
    )
    add(
        "--json",
        metavar="FILE",
        help="write the data there too. With - it goes to standard output, and the table is not printed",
    )
    add("--out", type=Path, default=Path(ROOT, "build", "bench"), metavar="DIR", help="where the page goes")
    add("--list", action="store_true", help="print the names of the cells only")
    return parser


def positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError
    return number


def effort(options: argparse.Namespace) -> Effort:
    if options.pairs:
        return exactly(options.pairs)
    return QUICK if options.quick else FULL


def main(arguments: list[str] | None = None) -> int:
    command_line = parser()
    options = command_line.parse_args(arguments)
    chosen = cells(options.only)
    if not chosen:
        command_line.error(f"no cell's name contains {' or '.join(map(repr, options.only))}. --list shows the names")
    if options.list:
        print(*(cell.key for cell in chosen), sep="\n")
        return MEASURED
    if not options.aa and (problem := missing_mpfast()):
        command_line.error(f"there is no mpfast to measure: {problem}")
    hurry = options.quick and not options.only
    run = Run(hurried(chosen) if hurry else chosen, effort(options), same=options.aa)
    library = plots.library()  # before anything is measured, because it may wait for the network
    facts = gather(options.aa)
    facts.overhead_ns = overhead_ns()
    complete = work(run)
    if complete:  # after Ctrl-C nothing more is measured
        facts.yardsticks = yardsticks.measure()
    facts.finish()
    publish(run, facts, options, complete, library)
    return exit_status(run, complete)


def missing_mpfast() -> str:
    try:
        importlib.import_module(OURS)
    except ImportError as error:
        return str(error)
    return ""


def work(run: Run) -> bool:
    """Measure. False if the user stopped it."""
    progress = Progress(run.cells, run.effort, sys.stderr)
    try:
        for cell in run.steps():
            progress.step_of(cell)
    except KeyboardInterrupt:
        return False
    finally:
        progress.close()
    return True


def publish(run: Run, facts: Facts, options: argparse.Namespace, complete: bool, library: plots.Library) -> None:
    results = [run.results[cell.key] for cell in run.cells if cell.key in run.results]
    notes = remarks(run, results, complete)
    if options.quick and not options.only:
        notes.append("this was a quick run, with the start method fork only and without other packages")
    if library.missing:
        notes.append(f"the page has no plots: {library.missing}")
    data = as_json(results, facts, notes)
    if options.json:
        write_json(options.json, data)
    out = sys.stderr if options.json == "-" else sys.stdout
    if out is sys.stdout:
        print(table.render(results, facts.same), table.legend(results), sep="\n\n", end="\n\n")
    print(*notes, *table.failures(results), table.summary(results, facts), sep="\n", file=out)
    page = write_page(options.out, results, facts, notes, library, recorded(facts))
    write_json(str(options.out / "data.json"), data)  # what make picture draws from
    print(f"page: {page}", file=out)


def remarks(run: Run, results: list[Result], complete: bool) -> list[str]:
    """What a reader must know before believing the numbers."""
    notes = [f"processes were left behind, and killed, after {key}" for key in run.leftovers]
    if run.same:
        notes.append("both sides are the stdlib, so what differs here is noise")
    if not complete:
        notes.append(f"stopped early: {len(run.cells) - len(results)} of {len(run.cells)} cells were not tried")
    return notes


def as_json(results: list[Result], facts: Facts, notes: list[str]) -> dict[str, Any]:
    return {
        "schema": 1,
        "facts": facts.as_json(),
        "notes": notes,
        "summary": table.counts(results),
        "cells": [result.as_json() for result in results],
    }


def write_json(where: str, data: dict[str, Any]) -> None:
    text = json.dumps(data, indent=1)
    if where == "-":
        print(text)
    else:
        Path(where).write_text(text + "\n")


def exit_status(run: Run, complete: bool) -> int:
    if not complete:
        return INTERRUPTED
    failed = any(result.status == "failed" for result in run.results.values())
    return NOT_ALL_MEASURED if failed else MEASURED
