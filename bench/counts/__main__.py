# SPDX-License-Identifier: MIT
"""`make counts`: count the operations and compare them with the table."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

from .counts import Counts
from .maker import column, maker
from .operations import Operation
from .table import Table, TableError
from .tools import CountError, missing
from .verdict import Finding, Kind

TABLE = Path(__file__).with_name("operations.tsv")
TOOLS = {"strace": "system calls", "valgrind": "instructions"}
OPERATIONS = "bench.counts.operations"
SAME, MORE, NOT_COUNTED = 0, 1, 2


def parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make counts ARGS=", description=__doc__)
    parser.add_argument("--only", action="append", default=[], metavar="TEXT", help="operations with this in the name")
    parser.add_argument("--update", action="store_true", help="write what is counted into the table")
    parser.add_argument("--strict", action="store_true", help="fail where strace or valgrind is missing")
    parser.add_argument("--list", action="store_true", help="the names of the operations")
    parser.add_argument("--table", type=Path, default=TABLE, help="another table")
    parser.add_argument("--operations", default=OPERATIONS, metavar="MODULE", help="another module's operations")
    return parser.parse_args(arguments)


def left_out(table: Table, update: bool) -> dict[str, str]:
    """What cannot be counted here, or not be compared, with the reason."""
    reasons = {tool: f"{tool} is not installed" for tool in TOOLS if missing(tool)}
    known = table.makers.get(column())
    if not update and known != maker():
        theirs = f"its column {column()} is of {known}" if known else f"it has no column {column()}"
        reasons.setdefault("valgrind", f"the table cannot tell: {theirs}, and this is {maker()}")
    return reasons


def update(path: Path, table: Table, counts: Counts, names: list[str]) -> int:
    """Write the table. A column that something else has counted is written as a whole."""
    if counts.instructions and table.makers.get(column()) != maker():
        if len(counts.chosen) < len(names):
            raise TableError(f"the column {column()} is not of {maker()}: --update without --only writes all of it")
        table.makers[column()] = maker()
    counts.put_into(table, names)
    table.write(path)
    print(f"{path} is written")
    return SAME


def judge(table: Table, counts: Counts, gone: list[str]) -> int:
    """Print what differs. The status is SAME or MORE."""
    findings = [*counts.findings(table), *(Finding(Kind.GONE, name, "no such operation is left") for name in gone)]
    print(*findings, sep="\n", end="\n" if findings else "")
    failures = sum(finding.fails for finding in findings)
    if len(findings) > failures:
        print("The table could be lowered: make counts ARGS=--update")
    if failures:
        print("If that is meant to be so, make counts ARGS=--update changes the table.")
    print(f"{len(counts.chosen)} operations counted, {failures} counts are not as in the table")
    return MORE if failures else SAME


def run(options: argparse.Namespace) -> int:
    operations: tuple[Operation, ...] = import_module(options.operations).ALL
    names = [operation.name for operation in operations]
    wanted = [text.lower() for text in options.only] or [""]
    chosen = [operation for operation in operations if any(text in operation.name.lower() for text in wanted)]
    if options.list or not chosen:
        print(*names, sep="\n")
        return SAME if options.list else NOT_COUNTED
    table = Table.read(options.table)
    reasons = left_out(table, options.update)
    for tool, reason in reasons.items():
        print(f"{TOOLS[tool]} are not counted: {reason}")
    if options.strict and any(map(missing, TOOLS)):
        return NOT_COUNTED
    counts = Counts(chosen, options.operations)
    counts.count("strace" not in reasons, "valgrind" not in reasons)
    if options.update:
        return update(options.table, table, counts, names)
    return judge(table, counts, [] if options.only else [name for name in table.rows if name not in names])


def main(arguments: Sequence[str] | None = None) -> int:
    try:
        return run(parsed(arguments))
    except (CountError, TableError) as error:
        print(error, file=sys.stderr)
        return NOT_COUNTED


if __name__ == "__main__":
    sys.exit(main())
