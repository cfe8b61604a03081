# SPDX-License-Identifier: MIT
"""The process that is counted: `driver.py strace MODULE NAME`, or `driver.py valgrind MODULE NAME...`.

For strace it marks in the trace where the operations begin and end. Valgrind's start is slow, so one process forks two
children for each operation, which do it n times and 2n times.
"""

from __future__ import annotations

import gc
import os
import sys
from importlib import import_module

import mpfast

from .operations import Operation

MARK = "/mpfast counts from here to the next one"
REPEATS = 10  # under valgrind an operation is done so many times as often, so that other work does not show


def mark() -> None:
    os.access(MARK, os.F_OK)


def traced(operation: Operation) -> None:
    operation.compiled()(mpfast.get_context(operation.method), operation.count, mark)


def in_child(operation: Operation, times: int) -> str:
    """What this process does between two children is counted with the operation, so it must be little."""
    pid = os.fork()
    if not pid:
        try:
            operation.compiled()(mpfast.get_context(operation.method), operation.count * times, bool)
        finally:
            os._exit(bool(sys.exc_info()[0]))
    return f"{pid}\t{os.waitpid(pid, 0)[1]}\t{operation.name}"


def in_children(operations: list[Operation]) -> None:
    """Children that are told of in pairs. What is done for the first time is done before these."""
    in_child(operations[0], 1)
    print(*[in_child(operation, times) for operation in operations for times in (REPEATS, 2 * REPEATS)], sep="\n")


def main(tool: str, module: str, names: list[str]) -> None:
    gc.disable()
    chosen = {operation.name: operation for operation in import_module(module).ALL}
    operations = [chosen[name] for name in names]
    if tool == "strace":
        traced(*operations)
    else:
        in_children(operations)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3:])
