# SPDX-License-Identifier: MIT
"""The programs under examples/ do what they are documented to do, under every start method, without being edited.

Each runs as a user runs it: as a script, on a terminal. For a start method other than the default one, a second form
selects the method first and then runs the unchanged file as __main__, so its children import it as they would anyway.
The programs sleep; so all of them run at once, before the first test looks at a result.
"""

import os
import pty
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"
METHODS = ("fork", "forkserver", "spawn")
DEADLINE = 90

EXPECTED = {
    "process": "Worker: 0\nWorker: 1\nWorker: 2\nWorker: 3\nWorker: 4",
    "process_ids": (
        "main line\nmodule name: __main__\nparent process: PARENT\nprocess id: MAIN\n"
        "function f\nmodule name: {child}\nparent process: STARTER\nprocess id: CHILD\nhello bob"
    ),
    "start_method": "hello",
    "context": "hello",
    "queues": "[42, None, 'hello']",
    "pipe": "[42, None, 'hello']",
    "pool": "\n".join(f"Processing number: {n}" for n in range(1, 6)) + "\n[1, 4, 9, 16, 25]",
}

# These say themselves how to start: they are run as they are, and `start_method` could not be told otherwise.
CHOOSERS = {"start_method", "context"}

WITH_METHOD = """
import runpy, sys
import mpfast
mpfast.set_start_method(sys.argv.pop(1))
runpy.run_path(sys.argv[1], run_name="__main__")
"""


class Run(NamedTuple):
    pid: int
    code: int | str
    output: str
    errors: str


def command(program: str, method: str) -> list[str]:
    path = str(EXAMPLES / f"{program}.py")
    return [sys.executable, path] if method == "default" else [sys.executable, "-c", WITH_METHOD, method, path]


def drain(terminal: int, into: list[bytes]) -> None:
    while True:
        try:
            data = os.read(terminal, 65536)
        except OSError:  # EIO: the last process has closed the other side
            return
        into.append(data)


def run(program: str, method: str) -> Run:
    """A terminal, because output to a pipe is buffered and a pool's terminated workers would lose theirs; and line by
    line, since PYTHONUNBUFFERED would let the halves of two processes' lines meet."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    terminal, other_side = pty.openpty()
    chunks: list[bytes] = []
    reader = threading.Thread(target=drain, args=(terminal, chunks))
    process = subprocess.Popen(
        command(program, method),
        stdin=subprocess.DEVNULL,
        stdout=other_side,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )
    os.close(other_side)
    reader.start()
    try:
        errors = process.communicate(timeout=DEADLINE)[1]
        code: int | str = process.returncode
    except subprocess.TimeoutExpired:
        process.kill()
        errors, code = process.communicate()[1], f"still running after {DEADLINE} s"
    reader.join(DEADLINE)
    os.close(terminal)
    return Run(process.pid, code, b"".join(chunks).decode().replace("\r\n", "\n").rstrip(), errors)


@pytest.fixture(scope="module")
def runs(request: pytest.FixtureRequest) -> Iterator[dict[tuple[str, str], Run]]:
    mine = [item for item in request.session.items if item.path == request.path and hasattr(item, "callspec")]
    wanted = [(item.callspec.params["program"], item.callspec.params["method"]) for item in mine]
    with ThreadPoolExecutor(6) as threads:
        yield dict(zip(wanted, threads.map(lambda pair: run(*pair), wanted), strict=True))


def cases() -> Iterator[tuple[str, str]]:
    for program in (*EXPECTED, "queue_and_lock"):
        yield program, "default"
        if program not in CHOOSERS:
            yield from ((program, method) for method in METHODS)


def check_ids(run: Run, method: str) -> None:
    """Replaces the process ids by who they are, then compares; the module's name depends on the start method."""
    numbers = [int(n) for n in re.findall(r"process(?: id)?: (\d+)", run.output)]
    parent, main, starter, child = numbers
    assert (parent, main) == (os.getpid(), run.pid)
    assert child not in (main, starter)
    if method == "default":
        method = default_method()
    assert (starter == main) == (method != "forkserver")
    text = EXPECTED["process_ids"].format(child="__main__" if method == "fork" else "__mp_main__")
    for name, number in zip(("PARENT", "MAIN", "STARTER", "CHILD"), numbers, strict=True):
        text = text.replace(name, str(number))
    assert run.output == text


def default_method() -> str:
    program = "import mpfast; print(mpfast.get_start_method())"
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.strip()


def check_queue_and_lock(run: Run) -> None:
    *lines, last = run.output.split("\n")
    workers = [re.fullmatch(r"Process-(\d+) working on (\d)", line) for line in lines]
    assert all(workers), run.output
    assert sorted(match[2] for match in workers if match) == list("12345")
    # Who gets the lock first is anybody's guess, and the results come in that order.
    assert last == str([2 * int(match[2]) for match in workers if match])


@pytest.mark.parametrize(("program", "method"), [pytest.param(*case, id="-".join(case)) for case in cases()])
def test_example(program: str, method: str, runs: dict[tuple[str, str], Run]) -> None:
    run = runs[program, method]
    assert (run.code, run.errors) == (0, ""), run
    if program == "process_ids":
        check_ids(run, method)
    elif program == "queue_and_lock":
        check_queue_and_lock(run)
    else:
        lines, expected = run.output.split("\n"), EXPECTED[program].split("\n")
        assert sorted(lines) == sorted(expected)
        assert program != "pool" or lines[-1] == expected[-1]


def test_every_program_is_expected() -> None:
    assert {path.stem for path in EXAMPLES.glob("*.py")} == {program for program, _ in cases()}
