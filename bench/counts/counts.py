# SPDX-License-Identifier: MIT
"""One run's counts, on their way into the table or beside it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from .maker import column
from .operations import Operation
from .table import Row, Table
from .tools import Calls, instructions, system_calls
from .verdict import Finding, of_calls, of_instructions


class Counts:
    """What this run counts. Each half may be left out."""

    def __init__(self, chosen: list[Operation], module: str) -> None:
        self.chosen, self.module = chosen, module
        self.calls: dict[str, Calls] = {}
        self.instructions: dict[str, int] = {}

    def count(self, with_calls: bool, with_instructions: bool) -> None:
        """On all CPUs at once: it is not time that is measured."""
        cpus = len(os.sched_getaffinity(0))
        short = [operation for operation in self.chosen if not operation.launches] if with_instructions else []
        parts = [part for first in range(cpus) if (part := short[first::cpus])]
        with ThreadPoolExecutor(cpus) as threads:
            counted = threads.map(instructions, parts, [self.module] * len(parts))
            if with_calls:
                calls = threads.map(system_calls, self.chosen, [self.module] * len(self.chosen))
                self.calls = dict(zip((operation.name for operation in self.chosen), calls, strict=True))
            self.instructions = {name: number for part in counted for name, number in part.items()}

    def findings(self, table: Table) -> Iterator[Finding]:
        for name in (operation.name for operation in self.chosen):
            row = table.rows.get(name, Row())
            if name in self.calls:
                yield from of_calls(name, self.calls[name], row)
            if name in self.instructions:
                yield from of_instructions(name, self.instructions[name], column(), row)

    def put_into(self, table: Table, names: list[str]) -> None:
        """names are those of all operations: others leave the table, which keeps their order."""
        rows = {name: table.rows.get(name, Row()) for name in names}
        for name, row in rows.items():
            row.calls = self.calls.get(name, row.calls)
            if name in self.instructions:
                row.instructions[column()] = self.instructions[name]
        table.rows = {name: row for name, row in rows.items() if row != Row()}
