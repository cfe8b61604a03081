# SPDX-License-Identifier: MIT
"""What was counted beside what the table says."""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum
from typing import NamedTuple

from .table import Row, as_text
from .tools import Calls

MORE = 1.05  # instructions: a compiler may move a few
LESS = 0.95


class Kind(Enum):
    MORE = "more"
    LESS = "less"
    NEW = "new"
    GONE = "gone"


class Finding(NamedTuple):
    """Something to say about an operation. Only what is less does not fail."""

    kind: Kind
    name: str
    text: str

    @property
    def fails(self) -> bool:
        return self.kind is not Kind.LESS

    def __str__(self) -> str:
        return f"{self.kind.value}: {self.name}: {self.text}"


def of_calls(name: str, counted: Calls, row: Row) -> Iterator[Finding]:
    """Any call that the table does not have is more, and so is one that took another's place."""
    if row.calls is None:
        yield Finding(Kind.NEW, name, f"system calls: {as_text(counted)}")
        return
    both = f"system calls: {as_text(row.calls)} in the table, {as_text(counted)} now"
    if any(number > row.calls.get(call, 0) for call, number in counted.items()):
        yield Finding(Kind.MORE, name, both)
    elif counted != row.calls:
        yield Finding(Kind.LESS, name, both)


def of_instructions(name: str, counted: int, column: str, row: Row) -> Iterator[Finding]:
    allowed = row.instructions.get(column)
    if allowed is None:
        yield Finding(Kind.NEW, name, f"instructions: {counted}")
        return
    both = f"instructions: {allowed} in the table, {counted} now ({counted / allowed - 1:+.1%})"
    if counted > allowed * MORE:
        yield Finding(Kind.MORE, name, both)
    elif counted < allowed * LESS:
        yield Finding(Kind.LESS, name, both)
