# SPDX-License-Identifier: MIT
"""The table in the repository: a line for each operation, a column of instructions for each interpreter.

Fields are separated by tabs. System calls are the same with each Python. Instructions are not, nor are they with
another compiler: a line above the table says what each column was counted with.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Self

from .tools import Calls

TITLE = "# What one operation takes. `make counts ARGS=--update` writes this file, docs/benchmarking.md explains it."
FIRST = ("operation", "system calls")
NONE = "-"


class TableError(Exception):
    """The table cannot be read."""


def as_text(calls: Calls) -> str:
    return ", ".join(f"{name} {number}" for name, number in sorted(calls.items())) or NONE


def as_calls(text: str) -> Calls:
    """The inverse of as_text."""
    if text == NONE:
        return {}
    pairs = [part.split(" ") for part in text.split(", ")]
    calls = {name: Fraction(number) for name, number in pairs}
    if len(calls) < len(pairs) or not all(name.isidentifier() and number > 0 for name, number in calls.items()):
        raise ValueError(text)
    return calls


@dataclass
class Row:
    calls: Calls | None = None  # None: not counted yet, as are instructions that are not there
    instructions: dict[str, int] = field(default_factory=dict)


@dataclass
class Table:
    makers: dict[str, str] = field(default_factory=dict)  # column -> what it was counted with
    rows: dict[str, Row] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path) -> Self:
        table = cls()
        if path.exists():
            for number, line in enumerate(path.read_text().splitlines(), 1):
                try:
                    table.read_line(line)
                except ValueError:
                    raise TableError(f"{path}, line {number}: {line!r} is no line of this table") from None
        return table

    def read_line(self, line: str) -> None:
        if line.startswith("# ") and line != TITLE:
            column, maker = line.removeprefix("# ").split(": ", 1)
            self.makers[column] = maker
        elif line not in (TITLE, "\t".join([*FIRST, *self.makers])):
            self.read_row(*line.split("\t"))

    def read_row(self, name: str, calls: str, *numbers: str) -> None:
        if not name or name in self.rows:
            raise ValueError(name)
        pairs = zip(self.makers, numbers, strict=True)
        row = Row(None if calls == "?" else as_calls(calls), {c: int(n) for c, n in pairs if n != "?"})
        self.rows[name] = row

    def write(self, path: Path) -> None:
        path.write_text("\n".join([*self.lines(), ""]))

    def lines(self) -> Iterator[str]:
        columns = sorted(self.makers)
        yield TITLE
        yield from (f"# {column}: {self.makers[column]}" for column in columns)
        yield "\t".join([*FIRST, *columns])
        for name, row in self.rows.items():
            calls = "?" if row.calls is None else as_text(row.calls)
            yield "\t".join([name, calls, *(str(row.instructions.get(column, "?")) for column in columns)])
