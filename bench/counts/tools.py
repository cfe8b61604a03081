# SPDX-License-Identifier: MIT
"""The two tools that count: strace system calls, valgrind the instructions in user space."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from fractions import Fraction
from functools import cache
from pathlib import Path
from statistics import median_low
from tempfile import TemporaryDirectory

import mpfast

from .. import ROOT
from .driver import MARK, REPEATS
from .operations import Operation

DEADLINE = 300
CALL = re.compile(r"^(?:\d+ +)?(\w+)\(", re.M)
INSTRUCTIONS = re.compile(r"I\s+refs:\s+([\d,]+)")
VALGRIND = ("--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null")
# One name for what C libraries and machines ask for by different calls.
SAME = {
    "clone": "fork",
    "clone3": "fork",
    "vfork": "fork",
    "newfstatat": "stat",
    "fstat": "stat",
    "lstat": "stat",
    "statx": "stat",
    "ppoll": "poll",
    "eventfd2": "eventfd",
    "pipe2": "pipe",
    "recvfrom": "recv",
    "sendto": "send",
}
# Of a process that is started these are not counted. Waiting and what a fork server says depend on the time, the ioctl
# on the kernel, and some interpreters look at more files than others.
VARYING = {"ioctl", "poll", "recvmsg", "stat"}

Calls = dict[str, Fraction]


class CountError(Exception):
    """The tool gave no number."""


def missing(tool: str) -> bool:
    return shutil.which(tool) is None


def environment() -> dict[str, str]:
    """The same for everybody, because its size and what it says changes what an interpreter does."""
    package = os.path.dirname(os.path.dirname(os.path.abspath(mpfast.__file__)))
    path = os.pathsep.join([package, ROOT, *filter(None, [os.environ.get("PYTHONPATH")])])
    fixed = {"PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1", "PYTHONNOUSERSITE": "1", "LC_ALL": "C.UTF-8"}
    return {"PATH": os.environ["PATH"], "PYTHONPATH": path, **fixed}


@cache
def in_place() -> tuple[str, ...]:
    """What makes every mapping lie at the same address each time, so dicts collide alike. Some containers forbid it."""
    command = ("setarch", "-R")
    try:
        allowed = subprocess.run((*command, "true"), capture_output=True, check=False).returncode == 0
    except OSError:
        return ()
    return command if allowed else ()


def run(tool: Sequence[str], module: str, names: Iterable[str]) -> str:
    """What the driver prints."""
    job = (sys.executable, "-P", "-m", "bench.counts.driver", tool[0], module, *names)
    command = (*in_place(), *tool, *job)
    try:
        done = subprocess.run(
            command, env=environment(), stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=DEADLINE
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise CountError(f"{tool[0]}: {error}") from None
    if done.returncode:
        raise CountError(f"{tool[0]} counted nothing for {', '.join(names)}:\n{done.stderr[-1000:].rstrip()}")
    return done.stdout


def system_calls(operation: Operation, module: str) -> Calls:
    """By name, of one operation: those of all threads, but not of processes that the operation starts."""
    with TemporaryDirectory() as folder:
        out = Path(folder, "trace")
        options = () if operation.launches else ("-f",)
        run(("strace", *options, "-o", str(out)), module, [operation.name])
        rounds = rounds_of(out.read_text())
    expected = operation.count + 1 if operation.launches else 1
    if len(rounds) != expected:
        raise CountError(f"the trace of {operation.name} has {len(rounds)} parts between marks instead of {expected}")
    if operation.launches:
        return usual(rounds[:-1])
    return {name: Fraction(number, operation.count) for name, number in sorted(rounds[0].items())}


def rounds_of(trace: str) -> list[Counter[str]]:
    """The calls between each mark and the next. What a call says when it goes on is no call."""
    parts = re.split(rf'^.*"{MARK}".*\n', trace, flags=re.M)
    return [Counter(SAME.get(name, name) for name in CALL.findall(part)) for part in parts[1:-1]]


def usual(rounds: Sequence[Counter[str]]) -> Calls:
    """What happens in the middle one of these rounds, for each call that does not vary by itself."""
    names = sorted(set.union(*map(set, rounds)) - VARYING)
    numbers = {name: median_low(calls[name] for calls in rounds) for name in names}
    return {name: Fraction(number) for name, number in numbers.items() if number}


def instructions(operations: Sequence[Operation], module: str) -> dict[str, int]:
    """By operation, of one operation."""
    counts = {operation.name: operation.count for operation in operations}
    with TemporaryDirectory() as folder:
        printed = run(("valgrind", *VALGRIND, f"--log-file={folder}/%p"), module, counts)
        found: dict[str, list[int]] = {name: [] for name in counts}
        for line in printed.splitlines():
            pid, status, name = line.split("\t")
            match = INSTRUCTIONS.search(Path(folder, pid).read_text())
            if int(status) or not match:
                raise CountError(f"valgrind counted nothing for {name}")
            found[name].append(int(match[1].replace(",", "")))
    return {name: round((twice - once) / (counts[name] * REPEATS)) for name, (once, twice) in found.items()}
