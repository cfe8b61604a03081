# SPDX-License-Identifier: MIT
"""`make history RANGE=A..B` measures these commits with asv, one after the other, oldest first.

Results go to the branch bench-data as they come, so Ctrl-C costs one benchmark of one commit at most. Recorded results
are not measured again.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .. import ROOT, track
from ..base.countdown import Countdown
from ..base.facts import Facts, gather
from . import asv
from .databranch import BranchError, DataBranch, git

RECORDED, NOT_ALL_RECORDED, INTERRUPTED = 0, 2, 130
BENCHMARKS = [name for name in vars(track) if name.startswith("track_")]
PERCENT = re.compile(r"^\[\s*(\d+\.\d+)%\]")
GUESS = 60.0  # seconds of a benchmark, until one was measured
PATIENCE = 20.0  # seconds for asv to end after Ctrl-C


@dataclass(frozen=True)
class Job:
    """One benchmark of one commit. Its result is kept or lost as a whole."""

    commit: str
    benchmark: str


class Stopped(Exception):
    """A commit could not be measured."""


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="make history RANGE=... ARGS=...",
        description=__doc__,
        epilog="exit status: 0 all is recorded, 2 some of it is not, 130 after Ctrl-C, which keeps what was measured.",
    )
    add = parser.add_argument
    add("range", metavar="RANGE", help="commits as in git log, of the first parents' line: v0.1..main, HEAD^!")
    add("--steps", type=int, metavar="N", help="N commits only, evenly spread over the range")
    add("--rounds", type=int, metavar="N", help=f"processes for each cell, not {track.ROUNDS}")
    add("--only", action="append", choices=BENCHMARKS, metavar="|".join(BENCHMARKS), help="this benchmark")
    add("--again", action="store_true", help="measure recorded ones too, and replace them")
    add("--list", action="store_true", help="print what would be measured only")
    return parser


def main(arguments: list[str] | None = None) -> int:
    options = parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # asv is in another process group and must be told
    repository = Path(ROOT)
    try:
        commits = spread(selected(repository, options.range), options.steps)
        branch = DataBranch(repository)
    except BranchError as error:
        parser().error(str(error))
    with alone():
        return record(History(repository, branch, options), commits)


@contextmanager
def alone() -> Iterator[None]:
    """The lock of the one environment that asv builds in."""
    asv.FOLDER.mkdir(parents=True, exist_ok=True)
    with open(asv.FOLDER / "lock", "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            parser().error("another make history is at work in this clone")
        yield


def selected(repository: Path, span: str) -> list[str]:
    """Oldest first, so that an early stop leaves a history without holes."""
    commits = git(repository, "rev-list", "--reverse", "--first-parent", "--end-of-options", span).split()
    if not commits:
        raise BranchError(f"no commit is in {span}")
    return commits


def spread(commits: list[str], steps: int | None) -> list[str]:
    """The newest always, the others at even distances."""
    if not steps or steps >= len(commits):
        return commits
    return [commits[len(commits) - 1 - round(i * (len(commits) - 1) / max(1, steps - 1))] for i in range(steps)][::-1]


class History:
    """The results that there are, and how to get more."""

    def __init__(self, repository: Path, branch: DataBranch, options: argparse.Namespace) -> None:
        self.repository, self.branch, self.options = repository, branch, options
        self.facts: Facts = gather(same=True)
        self.config = asv.configure(repository, branch.results, Path(ROOT, "build", "dashboard"))
        self.log = asv.FOLDER / "history.log"

    def wanted(self, commits: list[str]) -> list[Job]:
        names, again = self.options.only or BENCHMARKS, self.options.again
        return [Job(c, name) for c in commits for name in names if again or name not in self._recorded(c)]

    def _results_of(self, commit: str) -> Iterator[tuple[Path, dict[str, Any]]]:
        for path in (self.branch.results / self.facts.machine).glob(f"{commit[:8]}-*.json"):
            yield path, json.loads(path.read_text())

    def _recorded(self, commit: str) -> set[str]:
        """The benchmarks that this machine has measured for a commit, as they are now."""
        found: set[str] = set()
        for _, data in self._results_of(commit):
            version = data["result_columns"].index("version")
            if data["params"].get("os") == asv.machine(self.facts)["os"]:
                found |= {
                    name.removeprefix("track.")
                    for name, row in data["results"].items()
                    if row[0] is not None and row[version] == track.VERSION
                }
        return found

    def forget(self, job: Job) -> None:
        """Drop the result until keep(), so that a result which is there afterwards is a new one."""
        for path, data in self._results_of(job.commit):
            if data["results"].pop(f"track.{job.benchmark}", None):
                path.write_text(json.dumps(data))

    def introduce(self) -> None:
        """asv wants to know the machine, in ~/.asv-machine.json."""
        words = [f"--{name}={value}" for name, value in asv.machine(self.facts).items()]
        done = self._asv("machine", "--yes", *words)
        _, told = done.communicate()
        if done.returncode:
            raise Stopped(f"asv machine: {told}")

    def start(self, job: Job) -> subprocess.Popen[str]:
        rounds = ("--attribute", f"rounds={self.options.rounds}") if self.options.rounds else ()
        machine = ("--machine", self.facts.machine)
        return self._asv("run", *machine, *rounds, "--bench", rf"\b{job.benchmark}\b", f"{job.commit}^!")

    def _asv(self, verb: str, *arguments: str) -> subprocess.Popen[str]:
        """In a process group of its own, so that Ctrl-C reaches it once, and all that it started can be ended."""
        return subprocess.Popen(
            (asv.command(), verb, "--config", str(self.config), *arguments),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            process_group=0,
        )

    def keep(self, job: Job) -> bool:
        """Commit the results, with the facts beside them. False if asv has left none. The earlier one stays then."""
        if job.benchmark not in self._recorded(job.commit):
            self.branch.restore()
            return False
        self.facts.finish()
        path = self.branch.facts / self.facts.machine / f"{job.commit[:8]}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(self._facts_of(job), indent=1, sort_keys=True) + "\n")
        return self.branch.keep(f"{job.commit[:8]}: {job.benchmark} on {self.facts.machine}")

    def _facts_of(self, job: Job) -> dict[str, Any]:
        """The facts of a clean commit, and beside them the commit of the work tree, which has the benchmarks."""
        facts = self.facts.as_json()
        suites = {"suites_commit": facts["commit"], "suites_dirty": facts["dirty"]}
        return facts | suites | {"commit": job.commit, "dirty": False}


def record(history: History, commits: list[str]) -> int:
    jobs = history.wanted(commits)
    total = len(commits) * len(history.options.only or BENCHMARKS)
    say = f"{len(commits)} commits on {history.facts.machine}: {len(jobs)} of {total} results are to be measured"
    print(say, file=sys.stderr)
    if history.options.list:
        print(*(f"{job.commit[:8]} {job.benchmark}" for job in jobs), sep="\n")
        return RECORDED
    failed: list[Job] = []
    try:
        if jobs:
            history.introduce()
        for job, good in measured(history, jobs):
            if not good:
                failed.append(job)
    except (Stopped, BranchError) as error:
        print(f"stopped: {error}", file=sys.stderr)
        return NOT_ALL_RECORDED
    except KeyboardInterrupt:
        print("interrupted. The same command goes on from here", file=sys.stderr)
        return INTERRUPTED
    for job in failed:
        print(f"no result: {job.commit[:8]} {job.benchmark}. {history.log} says why", file=sys.stderr)
    print(f"{len(jobs) - len(failed)} new results are in {history.branch.results}. make dashboard shows them")
    return NOT_ALL_RECORDED if failed else RECORDED


def measured(history: History, jobs: list[Job]) -> Iterator[tuple[Job, bool]]:
    """Run the jobs, each until its result is kept."""
    countdown = Countdown(len(jobs), sys.stderr, GUESS * len(jobs), expected=True)
    with history.log.open("a") as log:
        for job in jobs:
            subject = git(history.repository, "log", "-1", "--format=%h %s", job.commit)
            what = f"{subject[:50]}, {job.benchmark}"
            history.forget(job)
            process = history.start(job)
            try:
                follow(process, log, lambda share, what=what: countdown.part(what, GUESS * share))
            finally:
                end(process)
                assert process.stdout
                process.stdout.close()
                good = history.keep(job)
            countdown.step(what, GUESS)
            yield job, good
    countdown.close()


def follow(process: subprocess.Popen[str], log: Any, show: Any) -> None:
    """asv's lines go to the log, its percentage to the countdown."""
    assert process.stdout
    show(0.0)
    for line in process.stdout:
        log.write(line)
        log.flush()
        if found := PERCENT.match(line):
            show(float(found[1]) / 100)
    process.wait()


def end(process: subprocess.Popen[str]) -> None:
    """As Ctrl-C does. If that is not enough, asv is killed with all that it started."""
    if process.poll() is not None:
        return
    os.killpg(process.pid, signal.SIGINT)
    try:
        process.communicate(timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
