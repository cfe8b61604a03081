# SPDX-License-Identifier: MIT
"""Verifies the models of this directory with Spin (.pml) and Relacy (.cpp), and that each of their mutants fails.

    python tests/models/run.py [-j JOBS] [WORD ...]      only the runs whose lines contain one of the words

Spin explores a model with its macros exhaustively; Relacy runs one in many random orders. A mutant is a model without
one necessary step, or with one memory order relaxed: it must violate what is named with it. Exits with 0 if all is so,
with 1 if not, with 77 if what every chosen run needs is missing. What only some of them need, and is missing, is said.
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
    violates: str = ""  # of a mutant: a piece of the assertion, as pan or Relacy prints it

    @property
    def relacy(self) -> bool:
        return self.model in ORDERS


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
    Run("slots", "an offer, three makers", "MAKERS=3 CHILDREN=0 OFFERS=1"),
    Run("slots", "an offer, a child", "MAKERS=2 CHILDREN=1 OFFERS=1 TURNS=2"),
    Run("slots", "kills, an offer", "MAKERS=2 CHILDREN=0 OFFERS=1 REAPERS=1 KILLS=1"),
    Run("slots", "kills of reapers, an offer", "MAKERS=2 CHILDREN=0 OFFERS=1 REAPERS=2 KILLS=2"),
    Run("slots", "STATE_FIRST", "MAKERS=2 CHILDREN=0 TURNS=2", LEAKED),
    Run("slots", "SCAN_FIRST", "MAKERS=1 CHILDREN=1", LEAKED),
    Run("slots", "TAKE_FIRST", "MAKERS=2 CHILDREN=0 REAPERS=1 KILLS=1", LEAKED),
    Run("slots", "NO_NOTE", "MAKERS=2 CHILDREN=0 REAPERS=1 KILLS=1", LEAKED),
    Run("slots", "SCAN_ONCE", "MAKERS=1 CHILDREN=2", TAKEN),
    Run("slots", "NO_GIVER", "MAKERS=3 CHILDREN=0 OFFERS=1", TAKEN),
    Run("slots", "NO_VOUCH", "MAKERS=3 CHILDREN=0 OFFERS=1 TURNS=2", TAKEN),
    Run("slots", "LOOK_FIRST", "MAKERS=2 CHILDREN=0 OFFERS=1", TAKEN),
    Run("slots", "NO_GENERATION", "MAKERS=2 CHILDREN=0 TURNS=2", TAKEN),
]

ORDERED, EMPTY, OWNER_OF = "t==committed", "committed==taken", "owner[b]==0"
QUEUE_KILLS = "PRODUCERS=1 CONSUMERS=1 REAPERS=1 KILLS=1 TURNS=2"
SCARCE = "BLOCKS=1 SEGMENTS=2"
QUEUE = [
    Run("queue", "pages come again", "PUTS=2 TURNS=3"),
    Run("queue", "two consumers", "PRODUCERS=1 PUTS=3 CONSUMERS=2 TURNS=2"),
    Run("queue", "items in the slot", "IMMEDIATE SLOTS=2 PUTS=2 TURNS=3"),
    Run("queue", "maxsize=1", "MAXSIZE=1 PUTS=2 TURNS=2"),
    Run("queue", "kills", QUEUE_KILLS),
    Run("queue", "kills, two consumers", f"PRODUCERS=1 CONSUMERS=2 REAPERS=1 KILLS=1 TURNS=1 {SCARCE}"),
    Run("queue", "kills, two producers", f"IMMEDIATE REAPERS=1 KILLS=1 TURNS=1 {SCARCE}"),
    Run("queue", "kills, items in the slot", "IMMEDIATE SLOTS=2 PUTS=3 TURNS=3 PRODUCERS=1 REAPERS=1 KILLS=1"),
    Run("queue", "kills, maxsize=1", f"{QUEUE_KILLS} MAXSIZE=1"),
    Run("queue", "kills, reuse of entries", f"{QUEUE_KILLS} NEWCOMERS=1"),
    Run("queue", "kills of reapers", f"PRODUCERS=1 REAPERS=2 KILLS=2 TURNS=1 {SCARCE}"),
    Run("queue", "INSTALL_PAST", "", ORDERED),
    Run("queue", "RECLAIM_EARLY", "TURNS=3", "!((((dir[0]"),
    Run("queue", "NO_PAGE", "TURNS=3", ORDERED),
    Run("queue", "NO_TICKET", "PRODUCERS=1 CONSUMERS=2 TURNS=2 BLOCKS=1", "h==taken"),
    Run("queue", "NO_HELP", "MAXSIZE=1 TURNS=2", "was_full"),
    Run("queue", "IGNORE_FULL", "MAXSIZE=1 TURNS=2", "(committed-taken)<1"),
    Run("queue", "HEAD_FIRST", QUEUE_KILLS, EMPTY),
    Run("queue", "NO_LOOK", QUEUE_KILLS, EMPTY),
    Run("queue", "STORE_FREE", QUEUE_KILLS, OWNER_OF),
    Run("queue", "KEEP_QUEUED", QUEUE_KILLS, "word[i]==0"),
    Run("queue", "KEEP_SEGMENTS", QUEUE_KILLS, "!((segment[i]"),
    Run("queue", "FREE_SEGMENTS", "CONSUMERS=0 PUTS=1 OTHERS=2 REAPERS=1 KILLS=1", "!((((dir[0]"),
    Run("queue", "ENTRY_FIRST", f"{QUEUE_KILLS} NEWCOMERS=1", "owner[b]==dead"),
]

FORGOTTEN, FORGOTTEN_FOR_EVER = "forgotten==0", "rounds<="
QUEUE_SLEEP = [
    Run("queue_sleep", "getters, putters, timeouts", "HASTY=1"),
    Run("queue_sleep", "maxsize=1, timeouts", "GETTERS=2 PUTTERS=1 PUTS=2 MAXSIZE=1 HASTY=1"),
    Run("queue_sleep", "maxsize=1, putters", "GETTERS=1 PUTTERS=2 GETS=3 MAXSIZE=1 HASTY=1"),
    Run("queue_sleep", "put_many", "GETTERS=3 PUTTERS=1 BATCH=2 PUTS=2 HASTY=1"),
    Run("queue_sleep", "shutdown", "GETTERS=2 PUTTERS=1 PUTS=2 MAXSIZE=1 SHUTDOWNS=1"),
    Run("queue_sleep", "kills", "BACKSTOP PUTTERS=1 PUTS=2 KILLS=2 EARLY=1"),
    Run("queue_sleep", "kills, maxsize=1", "BACKSTOP GETTERS=1 PUTTERS=2 GETS=2 MAXSIZE=1 KILLS=2"),
    Run("queue_sleep", "NO_NOTIFY", "GETTERS=1 PUTTERS=2", FORGOTTEN),
    Run("queue_sleep", "CHECK_FIRST", "GETTERS=1 PUTTERS=1", FORGOTTEN),
    Run("queue_sleep", "CLEAR_ONLY", "", FORGOTTEN),
    Run("queue_sleep", "NO_BATON", "PUTTERS=1 HASTY=1", FORGOTTEN),
    Run("queue_sleep", "CLOSE_SILENTLY", "SHUTDOWNS=1", FORGOTTEN),
    Run("queue_sleep", "NO_BACKSTOP", "KILLS=1", FORGOTTEN),
]

KEPT = "word==0"
QUEUE_PINS = [
    Run("queue_pins", "two children", "CHILDREN=2"),
    Run("queue_pins", "kills", "KILLS=1 REAPERS=1"),
    Run("queue_pins", "kills of reapers", "KILLS=2 REAPERS=2"),
    Run("queue_pins", "a child's child", "CHILDREN=2 CHAIN"),
    Run("queue_pins", "kills, two children", "CHILDREN=2 KILLS=1 REAPERS=1 USES=0"),
    Run("queue_pins", "kills, a child's child", "CHILDREN=2 CHAIN KILLS=1 REAPERS=1 USES=0"),
    Run("queue_pins", "NO_CLAIM", "CHILDREN=2 CHAIN", "keeps["),
    Run("queue_pins", "NO_ERA", "", "mine==0"),
    Run("queue_pins", "SHARED_FIRST", "KILLS=1 REAPERS=1", "mine==0"),
    Run("queue_pins", "WORD_FIRST", "KILLS=1 REAPERS=1", "word==w"),
    Run("queue_pins", "HOLDERS_ONLY", "KILLS=2 REAPERS=2", KEPT),
    Run("queue_pins", "FORK_FIRST", "", KEPT),
]

COSTS, TWICE, ASTRAY = "lost<=1", "ran[i]==0", "runs[w]==e"
GROUP = [
    Run("group", "recall, cancel", "RECALLS=1 CANCELS=1"),
    Run("group", "kills, recall, cancel", "KILLS=1 RECALLS=1 CANCELS=1"),
    Run("group", "kills of both workers, cancel", "KILLS=2 CANCELS=1"),
    Run("group", "kills of both workers, recall", "KILLS=2 RECALLS=1"),
    Run("group", "kills, task is freed first", "KILLS=2 FREE_FIRST"),
    Run("group", "ANY_LOST", "KILLS=2", COSTS),
    Run("group", "CLAIM_FIRST", "KILLS=1", COSTS),
    Run("group", "FREE_HALF_PUT", "KILLS=1", COSTS),
    Run("group", "TASKS_FIRST", "KILLS=1", "outcome[e]=="),
    Run("group", "COUNT_FIRST", "KILLS=1", "cell[k]!=0"),
    Run("group", "RUN_FIRST", "KILLS=1", TWICE),
    Run("group", "RECALL_STORE", "RECALLS=1", TWICE),
    Run("group", "KILL_FIRST", "CANCELS=1", ASTRAY),
    Run("group", "IGNORE_CONDEMNED", "CANCELS=1", ASTRAY),
    Run("group", "LATE_SIGNAL", "CANCELS=1 KILLS=1", "runs[doomed]=="),
    Run("group", "NO_MARK", "KILLS=1", "owner!=w"),
]

SLEEPS_ON = "sleepers==0"
BATON = [
    Run("baton", "patient threads", "HASTY=0"),
    Run("baton", "one has a timeout", "HASTY=1"),
    Run("baton", "two have a timeout", "HASTY=2"),
    Run("baton", "all have a timeout", "HASTY=3"),
    Run("baton", "FORGET_OTHERS", "HASTY=0", SLEEPS_ON),
    Run("baton", "PASS_FIRST", "HASTY=0", SLEEPS_ON),
    Run("baton", "KEEP_BATON", "HASTY=1", SLEEPS_ON),
    Run("baton", "IGNORE_WOKEN", "HASTY=1", "woken[j]"),
]

RACE, SLEEPING_GETTER, SLEEPING_PUTTER = "DATA RACE", "asleep < 0", "!asleep"
QUEUE_ORDERS = [
    Run("queue_orders", "put, get, sleep", ""),
    Run("queue_orders", "ALLOC", "", RACE),
    Run("queue_orders", "FREE_BLOCK", "", RACE),
    Run("queue_orders", "PUBLISH", "", RACE),
    Run("queue_orders", "LOOK", "", RACE),
    Run("queue_orders", "ASK", "", SLEEPING_GETTER),
    Run("queue_orders", "SET_W", "", SLEEPING_PUTTER),
    Run("queue_orders", "PASS", "", SLEEPING_PUTTER),
    Run("queue_orders", "LOOK_HEAD", "", SLEEPING_PUTTER),
]

TORN, UNCOMMITTED, LEAKED, OTHERS = "a==c", "seen&", "taken[b]==", "used[(root&1)]>0"
DICT = [
    Run("dict", "a reader, two writers", "CHANGES=1 TRIES=2"),
    Run("dict", "kills", "CHANGES=1 TRIES=1 KILLS=1"),
    Run("dict", "COMMIT_FIRST", "CHANGES=1 TRIES=2", UNCOMMITTED),
    Run("dict", "FREE_FIRST", "CHANGES=1 TRIES=1", TORN),
    Run("dict", "CLEAR_FIRST", "CHANGES=1 TRIES=1 KILLS=1", OTHERS),
    Run("dict", "REF_STAYS", "CHANGES=1 TRIES=1", TORN),
    Run("dict", "SAME_PARITY", "CHANGES=1 TRIES=1", UNCOMMITTED),
    Run("dict", "ROOT_FIRST", "CHANGES=1 TRIES=1 KILLS=1", OTHERS),
    Run("dict", "NO_TAG", "CHANGES=2 TRIES=1", TORN),
    Run("dict", "NO_SECOND_LOOK", "CHANGES=1 TRIES=1", TORN),
    Run("dict", "NO_ROOT_LOOK", "CHANGES=1 TRIES=1", TORN),
    Run("dict", "NO_MEND", "CHANGES=1 TRIES=1 KILLS=1", LEAKED),
    Run("dict", "NO_RENEW", "CHANGES=1 TRIES=1 KILLS=1", OTHERS),
    Run("dict", "NO_SWEEP", "CHANGES=1 TRIES=1 KILLS=1", LEAKED),
]

HALF, OLD_ROWS, OLD_COPY = "a == v", "v * 10 + i", "a + 1 == b"
DICT_ORDERS = [
    Run("dict_orders", "blocks, rows, copies", ""),
    Run("dict_orders", "IN", "", HALF),
    Run("dict_orders", "OUT", "", HALF),
    Run("dict_orders", "COMMIT", "", HALF),
    Run("dict_orders", "REF", "", HALF),
    Run("dict_orders", "ENTRY", "", OLD_ROWS),
    Run("dict_orders", "LOOK", "", OLD_ROWS),
    Run("dict_orders", "STATE_COMMIT", "", OLD_ROWS),
    Run("dict_orders", "STATE", "", OLD_ROWS),
    Run("dict_orders", "ROOT_COMMIT", "", "used >= 1"),
    Run("dict_orders", "ROOT", "", "used >= 1"),
    Run("dict_orders", "TAG_ADVANCE", "", OLD_COPY),
    Run("dict_orders", "TAG", "", OLD_COPY),
]

ORDERS = ["queue_orders", "dict_orders"]
RUNS = [
    *LOCK,
    *CONDITION,
    *BARRIER,
    *SLOTS,
    *QUEUE,
    *QUEUE_SLEEP,
    *QUEUE_PINS,
    *GROUP,
    *BATON,
    *QUEUE_ORDERS,
    *DICT,
    *DICT_ORDERS,
]


def tool(command: list[str], directory: str) -> str:
    """The output of a command that must succeed."""
    done = subprocess.run(command, cwd=directory, capture_output=True, text=True, timeout=SECONDS)
    if done.returncode != 0:
        raise RuntimeError(f"{command[0]}: {(done.stdout + done.stderr).strip()[:300]}")
    return done.stdout


def shuffle(run: Run, directory: str) -> str:
    """What Relacy says about the model, which ends with 0 also if it does not hold."""
    relaxed = [f"-D{run.what}=memory_order_relaxed"] if run.violates else []
    tool([*cxx(), "-w", "-O1", *relaxed, "-o", "orders", str(HERE / f"{run.model}.cpp")], directory)
    return tool(["./orders"], directory)


def search(run: Run, compiler: list[str], directory: str) -> str:
    """What pan says about the model."""
    macros = [f"-D{macro}" for macro in run.macros.split()]
    if run.violates:
        macros.append(f"-D{run.what}")
    tool(["spin", "-a", *macros, str(HERE / f"{run.model}.pml")], directory)
    tool([*compiler, "-O1" if run.violates else "-O2", *COMPILE, "-o", "pan", "pan.c"], directory)
    return tool(["./pan", *SEARCH], directory)


def judge(run: Run, output: str) -> tuple[bool, str]:
    if run.relacy:
        return judge_orders(run, output)
    found = re.search(r"pan:\d+: (.*) \(at depth", output)
    if "reached -DMEMLIM" in output or "search depth too small" in output or "errors:" not in output:
        return False, "NOT FINISHED"
    if not run.violates:
        return found is None, "verified" if found is None else f"FAILS: {found[1]}"
    if found is None:
        return False, "NOT CAUGHT"
    return run.violates in found[1], "caught" if run.violates in found[1] else f"OTHER FAULT: {found[1]}"


def judge_orders(run: Run, output: str) -> tuple[bool, str]:
    found = re.findall(r"^(?:DATA RACE|.*ASSERT FAILED.*|DEADLOCK|LIVELOCK).*", output, re.M)
    if not run.violates:
        return (
            not found and ": holds" in output and ": FAILS" not in output,
            "holds" if not found else f"FAILS: {found[0]}",
        )
    if not found:
        return False, "NOT CAUGHT"
    caught = any(run.violates in text for text in found)
    return caught, "caught" if caught else f"OTHER FAULT: {found[0]}"


def verify(run: Run, compiler: list[str]) -> Result:
    start = time.monotonic()
    try:
        with tempfile.TemporaryDirectory(prefix="model-", dir=BUILD) as directory:
            output = shuffle(run, directory) if run.relacy else search(run, compiler, directory)
    except (RuntimeError, subprocess.TimeoutExpired) as error:
        return Result(False, f"ERROR: {error}")
    states = re.search(r"(\d+) states, stored", output)
    count = int(states[1]) if states else sum(map(int, re.findall(r"^iterations: (\d+)", output, re.M)))
    return Result(*judge(run, output), count, time.monotonic() - start)


def line(run: Run, result: Result) -> str:
    what = f"without: {run.what}" if run.violates else run.what
    unit = "orders" if run.relacy else "states"
    return f"{run.model:<13}{what:<34}{result.states:>12,} {unit} {result.seconds:>6.1f} s  {result.verdict}"


def chosen(words: list[str]) -> list[Run]:
    return [run for run in RUNS if not words or any(word in f"{run.model} {run.what}" for word in words)]


def cxx() -> list[str]:
    return shlex.split(os.environ.get("CXX", "c++"))


def installed(relacy: bool, compiler: list[str]) -> bool:
    """Is there what the Relacy runs, or the Spin runs, need? If not, says what is missing."""
    needed = {cxx()[0]: "g++"} if relacy else {"spin": "spin", compiler[0]: "gcc"}
    missing = [name for name in needed if shutil.which(name) is None]
    if relacy and not missing:
        probe = [*cxx(), "-E", "-x", "c++", "-include", "relacy/relacy.hpp", os.devnull]
        if subprocess.run(probe, capture_output=True).returncode != 0:
            needed["relacy"] = "relacy-dev"
            missing.append("relacy")
    for name in missing:
        print(f"skipped: {name} is not installed (apt install {needed[name]})")
    return not missing


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("-j", "--jobs", type=int, default=min(2, len(os.sched_getaffinity(0))))
    parser.add_argument("words", nargs="*", metavar="WORD")
    options = parser.parse_args()
    compiler = shlex.split(os.environ.get("CC", "cc"))
    runs = chosen(options.words)
    there = {kind for kind in {run.relacy for run in runs} if installed(kind, compiler)}
    if runs and not there:
        return SKIP
    os.nice(10)
    BUILD.mkdir(exist_ok=True)
    start, runs, bad = time.monotonic(), [run for run in runs if run.relacy in there], 0
    with ThreadPoolExecutor(max(1, options.jobs)) as pool:
        for run, result in zip(runs, pool.map(lambda run: verify(run, compiler), runs), strict=True):
            print(line(run, result), flush=True)
            bad += not result.good
    mutants = sum(bool(run.violates) for run in runs)
    print(
        f"{len(runs) - mutants} models, {mutants} mutants, {bad} not as they should be; "
        f"{time.monotonic() - start:.0f} s"
    )
    return bad > 0 or not runs


if __name__ == "__main__":
    sys.exit(main())
