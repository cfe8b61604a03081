# SPDX-License-Identifier: MIT
"""Verifies the Promela models of this directory with Spin, and that each of their mutants fails.

    python tests/models/run.py [-j JOBS] [WORD ...]      only the runs whose lines contain one of the words

A model with its macros is explored exhaustively. A mutant is a model without one necessary step: it must violate the
assertion that is named with it. Exits with 0 if all is so, with 1 if not, with 77 if Spin or a C compiler is missing.
"""

import argparse
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).resolve().parent
BUILD = HERE.parents[1] / "build"
SKIP = 77
MEGABYTES = 1600  # for one search
SECONDS = 240  # for one search
COMPILE = ["-w", "-DSAFETY", "-DNOREDUCE", "-DCOLLAPSE", f"-DMEMLIM={MEGABYTES}"]
SEARCH = ["-E", "-m100000", "-w22"]  # -E: a killed process stops anywhere


class Run(NamedTuple):
    model: str
    what: str  # a mutant's macro, or what a run of the model is about
    macros: str
    violates: str = ""  # of a mutant: a piece of the assertion, as pan prints it


class Result(NamedTuple):
    good: bool
    verdict: str
    states: int = 0
    seconds: float = 0.0


LOCK_KILLS = "BACKSTOP WORKERS=2 NEWCOMERS=1 REAPERS=1 KILLS=2"
LOCK_STOPS = "BACKSTOP WORKERS=2 REAPERS=1 KILLS=1 STOPS=1"
LOST, HANG, OWNER = "sleepers==0", "rounds<=", "holder!=0)&&((up"
LOCK = [
    Run("lock", "no kills, no backstop", "TURNS=2 HASTY=1"),
    Run("lock", "kills, reuse of entries, exits", f"{LOCK_KILLS} LEAVERS=1 EARLY=2"),
    Run("lock", "the same, expiry at any time", f"{LOCK_KILLS} LEAVERS=1 ANYTIME"),
    Run("lock", "three workers", "BACKSTOP WORKERS=3 KILLS=2 LEAVERS=1"),
    Run("lock", "two reapers", "BACKSTOP WORKERS=2 REAPERS=2 KILLS=2 EARLY=2"),
    Run("lock", "a reaper is stopped", f"{LOCK_STOPS} EARLY=2 LEAVERS=1"),
    Run("lock", "on_owner_death='release'", f"{LOCK_KILLS} RELEASE EARLY=2"),
    Run("lock", "NO_WAKE", "TURNS=2", LOST),
    Run("lock", "FORGET_W", "TURNS=2", LOST),
    Run("lock", "LEAVE_WOKEN", "HASTY=1", LOST),
    Run("lock", "STORE_DEAD", f"{LOCK_KILLS} EARLY=2", OWNER),
    Run("lock", "STORE_RECOVER", LOCK_KILLS, OWNER),
    Run("lock", "RELEASE_AFTER_DEATH", "BACKSTOP WORKERS=3 KILLS=1", OWNER),
    Run("lock", "NO_GENERATION", f"{LOCK_KILLS} EARLY=2", OWNER),
    Run("lock", "NO_SECOND_LOOK", "BACKSTOP WORKERS=2 EARLY=2 LEAVERS=1", OWNER),
    Run("lock", "FREE_BEFORE_MARK", LOCK_KILLS, HANG),
    Run("lock", "DROP_BEFORE_MARK", "BACKSTOP WORKERS=2 REAPERS=2 KILLS=2", HANG),
    Run("lock", "MARK_ONCE", LOCK_KILLS, HANG),
    Run("lock", "NOT_PINNED", LOCK_KILLS, HANG),
    Run("lock", "ONE_BYTE", LOCK_STOPS, HANG),
]

CONDITION_KILLS = "BACKSTOP WAITERS=2 KILLS=1"
CONDITION_REUSE = f"{CONDITION_KILLS} REAPERS=1 NEWCOMERS=1 PUTS=1"
MISSED, SPENT, STRANDED = "missed==0", "was_up", "items<=excused"
CONDITION = [
    Run("condition", "timeouts and exceptions", "WAITERS=3 PUTS=2 TIMED=2 RAISING=1"),
    Run("condition", "notify(2)", "WAITERS=3 PUTS=1 BATCH=2 TIMED=1 EARLY=1"),
    Run("condition", "tickets share a bit", "WAITERS=3 PUTS=3 BITS=2"),
    Run("condition", "more tickets than cells", "WAITERS=3 PUTS=2 RING=2 TIMED=1"),
    Run("condition", "kills", "BACKSTOP WAITERS=2 KILLS=2"),
    Run("condition", "kills, sleepers are told", "BACKSTOP WAITERS=2 KILLS=2 TELL_SLEEPERS"),
    Run("condition", "kills, Lock.recover()", f"{CONDITION_KILLS} PLAIN_RECOVER TIMED=1 RAISING=1"),
    Run("condition", "kills, on_owner_death='release'", "BACKSTOP WAITERS=2 KILLS=2 RELEASE RING=1"),
    Run("condition", "kills, reuse of entries", CONDITION_REUSE),
    Run("condition", "WAKE_FIRST", "WAITERS=2", MISSED),
    Run("condition", "SLEEPERS_FIRST", "WAITERS=2", MISSED),
    Run("condition", "CLEAR_SHARED", "WAITERS=3 PUTS=3 BITS=2", MISSED),
    Run("condition", "NO_CANCEL", "WAITERS=2 TIMED=1", SPENT),
    Run("condition", "NO_BATON", "WAITERS=3 RAISING=1", STRANDED),
    Run("condition", "UNSHIELDED", "WAITERS=2 RAISING=1", SPENT),
    Run("condition", "COMMIT_FIRST", f"{CONDITION_KILLS} RELEASE RING=1", SPENT),
    Run("condition", "NO_SETTLING", f"{CONDITION_KILLS} PLAIN_RECOVER TIMED=1", SPENT),
    Run("condition", "NO_BLANKING", CONDITION_REUSE, SPENT),
    Run("condition", "NO_SECOND_LOOK", CONDITION_REUSE, SPENT),
    Run("condition", "ONE_BYTE", CONDITION_REUSE, SPENT),
]

SURPLUS = "USERS=3 PARTIES=2"
UNTOLD, DECIDED, OUTCOME, REASON = "expiries<=", "!(decided)", "result[r]==", "reason[r]"
BARRIER = [
    Run("barrier", "more users than parties", f"{SURPLUS} TURNS=3"),
    Run("barrier", "all that breaks it", f"{SURPLUS} TURNS=1 ACTION=1 RAISES=1 RESETS=1 TIMED=3 SIGNALS=1"),
    Run("barrier", "kills, three parties", "BACKSTOP USERS=3 PARTIES=3 KILLS=1"),
    Run("barrier", "kills, an action", f"BACKSTOP {SURPLUS} ACTION=1 KILLS=1"),
    Run("barrier", "kills, threads", "BACKSTOP USERS=3 PARTIES=3 THREADS=2 KILLS=1"),
    Run("barrier", "kills, entries given back", "BACKSTOP USERS=2 TURNS=3 KILLS=2 REAPERS=1 EARLY=1"),
    Run("barrier", "kills, entries, an action", f"BACKSTOP {SURPLUS} TURNS=1 ACTION=1 KILLS=1 REAPERS=1"),
    Run("barrier", "BROKEN_ELSEWHERE", "USERS=3 PARTIES=3 TURNS=1 TIMED=1", DECIDED),
    Run("barrier", "NO_HISTORY", "USERS=2 TIMED=1 RESETS=1", OUTCOME),
    Run("barrier", "ACTOR_BESIDE", "BACKSTOP USERS=3 TURNS=1 ACTION=1 KILLS=1", UNTOLD),
    Run("barrier", "NO_ACTOR_REAPING", "BACKSTOP USERS=2 ACTION=1 KILLS=1 REAPERS=1", UNTOLD),
    Run("barrier", "NO_TOMBSTONES", "BACKSTOP USERS=2 KILLS=1 REAPERS=1", UNTOLD),
    Run("barrier", "PRESENCE", "BACKSTOP USERS=3 PARTIES=3 THREADS=2 KILLS=1", UNTOLD),
    Run("barrier", "NO_GAPS", "BACKSTOP USERS=2 KILLS=1", UNTOLD),
    Run("barrier", "NO_PARITY", "BACKSTOP USERS=2 TURNS=4 KILLS=1", UNTOLD),
    Run("barrier", "LATE_CELL", "USERS=3 TURNS=3", REASON),
]

LEAKED, TAKEN = "(state&1)!=1", "holds["
SLOTS = [
    Run("slots", "two makers and a child", "MAKERS=2 CHILDREN=1 TURNS=2"),
    Run("slots", "three makers", "MAKERS=3 CHILDREN=0"),
    Run("slots", "two children", "MAKERS=1 CHILDREN=2"),
    Run("slots", "kills, a child", "MAKERS=2 CHILDREN=1 REAPERS=1 KILLS=1"),
    Run("slots", "kills of reapers, makers", "MAKERS=2 CHILDREN=0 REAPERS=2 KILLS=2"),
    Run("slots", "kills of reapers, a child", "MAKERS=1 CHILDREN=1 REAPERS=2 KILLS=2"),
    Run("slots", "STATE_FIRST", "MAKERS=2 CHILDREN=0 TURNS=2", LEAKED),
    Run("slots", "SCAN_FIRST", "MAKERS=1 CHILDREN=1", LEAKED),
    Run("slots", "TAKE_FIRST", "MAKERS=2 CHILDREN=0 REAPERS=1 KILLS=1", LEAKED),
    Run("slots", "NO_NOTE", "MAKERS=2 CHILDREN=0 REAPERS=1 KILLS=1", LEAKED),
    Run("slots", "SCAN_ONCE", "MAKERS=1 CHILDREN=2", TAKEN),
    Run("slots", "NO_GENERATION", "MAKERS=2 CHILDREN=0 TURNS=2", TAKEN),
]

RUNS = [*LOCK, *CONDITION, *BARRIER, *SLOTS]


def tool(command: list[str], directory: str) -> str:
    """The output of a command that must succeed."""
    done = subprocess.run(command, cwd=directory, capture_output=True, text=True, timeout=SECONDS)
    if done.returncode != 0:
        raise RuntimeError(f"{command[0]}: {(done.stdout + done.stderr).strip()[:300]}")
    return done.stdout


def search(run: Run, compiler: list[str], directory: str) -> str:
    """What pan says about the model."""
    macros = [f"-D{macro}" for macro in run.macros.split()]
    if run.violates:
        macros.append(f"-D{run.what}")
    tool(["spin", "-a", *macros, str(HERE / f"{run.model}.pml")], directory)
    tool([*compiler, "-O1" if run.violates else "-O2", *COMPILE, "-o", "pan", "pan.c"], directory)
    return tool(["./pan", *SEARCH], directory)


def judge(run: Run, output: str) -> tuple[bool, str]:
    found = re.search(r"pan:\d+: (.*) \(at depth", output)
    if "reached -DMEMLIM" in output or "search depth too small" in output or "errors:" not in output:
        return False, "NOT FINISHED"
    if not run.violates:
        return found is None, "verified" if found is None else f"FAILS: {found[1]}"
    if found is None:
        return False, "NOT CAUGHT"
    return run.violates in found[1], "caught" if run.violates in found[1] else f"OTHER FAULT: {found[1]}"


def verify(run: Run, compiler: list[str]) -> Result:
    start = time.monotonic()
    try:
        with tempfile.TemporaryDirectory(prefix="model-", dir=BUILD) as directory:
            output = search(run, compiler, directory)
    except (RuntimeError, subprocess.TimeoutExpired) as error:
        return Result(False, f"ERROR: {error}")
    states = re.search(r"(\d+) states, stored", output)
    return Result(*judge(run, output), int(states[1]) if states else 0, time.monotonic() - start)


def line(run: Run, result: Result) -> str:
    what = f"without: {run.what}" if run.violates else run.what
    return f"{run.model:<10}{what:<34}{result.states:>12,} states {result.seconds:>6.1f} s  {result.verdict}"


def chosen(words: list[str]) -> list[Run]:
    return [run for run in RUNS if not words or any(word in f"{run.model} {run.what}" for word in words)]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("-j", "--jobs", type=int, default=min(2, len(os.sched_getaffinity(0))))
    parser.add_argument("words", nargs="*", metavar="WORD")
    options = parser.parse_args()
    compiler = shlex.split(os.environ.get("CC", "cc"))
    for name in ("spin", compiler[0]):
        if shutil.which(name) is None:
            print(f"skipped: {name} is not installed (apt install {'spin' if name == 'spin' else 'gcc'})")
            return SKIP
    os.nice(10)
    BUILD.mkdir(exist_ok=True)
    start, runs, bad = time.monotonic(), chosen(options.words), 0
    with ThreadPoolExecutor(max(1, options.jobs)) as pool:
        for run, result in zip(runs, pool.map(lambda run: verify(run, compiler), runs), strict=True):
            print(line(run, result), flush=True)
            bad += not result.good
    mutants = sum(bool(run.violates) for run in runs)
    print(f"{len(runs) - mutants} models, {mutants} mutants, {bad} not as they should be; "
          f"{time.monotonic() - start:.0f} s")
    return bad > 0 or not runs


if __name__ == "__main__":
    sys.exit(main())
