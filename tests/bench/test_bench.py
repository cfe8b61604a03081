# SPDX-License-Identifier: MIT
"""The benchmark harness: what goes wrong gives no time, and what is printed is what was measured."""

import importlib
import io
import json
import os
import pkgutil
import re
import signal
import subprocess
import sys
from pathlib import Path
from time import monotonic, sleep

import faulty_bench
import pytest

import bench
from bench import main
from bench.base import countdown, units
from bench.base.deadline import Limits
from bench.base.errors import Skipped
from bench.base.placement import cpu_range, place
from bench.base.stats import interval_of_median, outside_probability
from bench.floors import processes
from bench.measure.crew import Crew
from bench.measure.results import Measured, Result
from bench.measure.runner import Run
from bench.page import table
from bench.suites.plan import all_cells, batches, cells, exactly

ROOT = Path(bench.ROOT)
FAULTY = (sys.executable, str(Path(faulty_bench.__file__)))
HARNESS = (sys.executable, str(ROOT / "bench" / "run.py"))
LIMITS = Limits(batch=1, child=10, cell=15)
DEADLINE = 60
ASV_NAMES = "(time|timeraw|mem|peakmem|track)_|(Time|Timeraw|Mem|PeakMem|Track)([A-Z_]|$)"

pytestmark = pytest.mark.timeout(DEADLINE + 30)


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    """The page's scripts are those that are there, or none: no test waits for a registry."""
    monkeypatch.setenv("npm_config_offline", "true")
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")  # nobody listens


def measured(*keys, limits=LIMITS):
    """The results of cells that go wrong, the stdlib on both sides."""
    run = Run([faulty_bench.cell(key) for key in keys], exactly(6), limits, same=True, command=FAULTY)
    list(run.steps())
    assert not run.leftovers
    return [run.results[f"faulty/{key}/fork/one_cpu"] for key in keys]


@pytest.mark.parametrize(
    ("key", "reason"),
    [
        ("peer_raises", "ValueError: the peer was made to fail"),
        ("peer_exits", "exit code 3"),
        ("peer_hangs", "did not end within 1 s|exit code -14"),
        ("not_exclusive", "both processes were inside the lock at once"),
        ("child_fails", "a child ended badly, exit code 4"),
        ("wrong_class", "the stdlib side ran _thread.lock"),
    ],
)
def test_failing_benchmark_gives_no_time(key, reason):
    begin = monotonic()
    (result,) = measured(key)
    assert monotonic() - begin < LIMITS.cell
    assert result.status == "failed"
    assert re.search(reason, result.reason)
    assert "Traceback" not in result.reason or key == "peer_raises"
    assert result.pairs == []
    assert "stdlib_ns" not in result.as_json()
    assert "-  failed" in table.render([result], same=True)


def test_failed_cell_does_not_cost_the_next_one():
    hangs, dies, works = measured("hangs", "dies", "works", limits=Limits(batch=1, child=10, cell=2))
    assert "no answer within 2 s" in hangs.reason
    assert "last words" in dies.reason
    assert works.status == "ok"
    assert len(works.pairs) == 6
    assert works.as_json()["classes"]["stdlib"] == ["multiprocessing.synchronize.Lock"]


def test_crew_leaves_nothing_behind():
    """The grandchild holds the pipe by which the crew knows; the crew ends it although it never saw it."""
    script = "import subprocess, sys; subprocess.Popen(['sleep', '600']); print('{}', flush=True); sys.stdin.read()"
    crew = Crew((sys.executable, "-c", script), patience=0.5)
    assert crew.ask({}, DEADLINE) == {}
    assert crew.end() is False


@pytest.mark.parametrize(
    ("count", "low", "high", "confidence"),
    [
        (1, 1, 1, 0),
        (5, 1, 5, 0.9375),
        (6, 1, 6, 0.96875),
        (8, 1, 8, 0.9922),
        (10, 2, 9, 0.9785),
        (100, 40, 61, 0.9648),
    ],
)
def test_interval_of_median(count, low, high, confidence):
    """Ranks as in the tables of textbooks."""
    samples = [float(n) for n in range(count, 0, -1)]
    assert interval_of_median(samples) == (low, high, pytest.approx(confidence, abs=1e-4))


def test_outside_probability():
    """Six samples miss the median if all lie on one side of it."""
    assert outside_probability(6, 0) == 2 / 64
    assert outside_probability(6, 1) == 2 * 7 / 64


@pytest.mark.parametrize(
    ("ours", "verdict", "ratio"), [(50.0, "faster", 2), (200.0, "slower", 0.5), (101.0, "same", 100 / 101)]
)
def test_verdict(ours, verdict, ratio):
    result = Result(cells(["with_lock/fork/"])[0])
    result.add("ok", "", Measured([(100.0, ours)] * 4, {}, {}))
    result.add("ok", "", Measured([(100.0, ours)] * 4, {}, {}))
    assert (result.verdict, result.ratio, result.interval[:2]) == (verdict, ratio, (ratio, ratio))
    assert (result.base_ns, result.ours_ns) == (100, ours)
    assert ("!" in table.render([result], same=False)) == (verdict == "slower")


def test_failed_round_takes_the_times_away():
    result = Result(cells(["with_lock/fork/"])[0])
    result.add("ok", "", Measured([(100.0, 50.0)] * 8, {}, {}))
    result.add("failed", "why", None)
    assert (result.status, result.reason, result.pairs) == ("failed", "why", [])


@pytest.mark.parametrize(
    ("nanoseconds", "text"),
    [(0.5, "0.50 ns"), (41.26, "41.3 ns"), (999.6, "1.00 µs"), (123456, "123 µs"), (2.5e9, "2.50 s")],
)
def test_duration(nanoseconds, text):
    assert units.duration(nanoseconds) == text


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_countdown(monkeypatch):
    """What is done of the step under way counts too; what a step takes is known when the first is done."""
    now = 0
    monkeypatch.setattr(countdown, "monotonic", lambda: now)
    shown = Terminal()
    progress = countdown.Countdown(2, shown, cost=120.0, expected=True)
    progress.part("first", 30.0)
    now = 15
    progress.step("first", 60.0)
    now = 21
    progress.part("second", 30.0)
    assert shown.getvalue().split("\r\x1b[K")[1:] == [
        "[0/2] 2:00 left: starting",
        "[1/2] 1:30 left: first",
        "[1/2] 0:15 left: first",
        "[2/2] 0:07 left: second",
    ]


def test_placement():
    assert place("one_cpu", frozenset({3, 5})).both == {3}
    assert place("two_cpus", frozenset({3, 5})).both == {3, 5}
    with pytest.raises(Skipped, match="only one CPU"):
        place("two_cpus", frozenset({3}))
    assert list(cpu_range("2-4")) == [2, 3, 4]
    assert list(cpu_range("7")) == [7]


def test_every_cell_is_measured_once():
    everything = list(all_cells())
    keys = [cell.key for cell in everything]
    assert len(set(keys)) == len(keys)
    assert sorted(cell.key for batch in batches(everything) for cell in batch) == sorted(keys)


def test_different_mains_share_no_process():
    """A fork server keeps the main that it has imported."""
    for batch in batches(all_cells()):
        assert len({cell.scenario.setting for cell in batch}) == 1


def test_floor_of_a_process():
    """More memory is more to copy, and an interpreter takes longer than a fork."""
    here = place("one_cpu", frozenset(os.sched_getaffinity(0)))
    bare = processes.nanoseconds("join", "fork", here)
    if bare is None:
        pytest.skip("no C compiler")
    assert 0 < bare < processes.nanoseconds("join", "fork", here, 200)
    assert bare < processes.nanoseconds("line", "spawn", here)


def test_asv_finds_only_what_is_meant_for_it():
    """asv takes every function with such a name for a benchmark, whatever it is."""
    for module in pkgutil.walk_packages(bench.__path__, "bench."):
        names = vars(importlib.import_module(module.name))
        found = [name for name in names if re.match(ASV_NAMES, name)]
        assert bool(found) == (module.name == "bench.track"), module.name


def harness(*arguments, cpus=None):
    return subprocess.run(
        (*HARNESS, *arguments),
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        preexec_fn=cpus and (lambda: os.sched_setaffinity(0, cpus)),
    )


def test_narrow_run(tmp_path):
    data = tmp_path / "data.json"
    narrow = (
        "--only",
        "with_lock/fork/",
        "--only",
        "event_turns/spawn/two",
        "--only",
        "launch/start/fork/one",
    )
    done = harness("--quick", *narrow, "--json", data, "--out", tmp_path / "out", cpus={min(os.sched_getaffinity(0))})
    assert done.returncode == 0, done.stderr
    said = json.loads(data.read_text())
    assert {cell["key"]: cell["status"] for cell in said["cells"]} == {
        "locks/with_lock/fork/one_cpu": "ok",
        "locks/event_turns/spawn/two_cpus": "skipped",
        "launch/start/fork/one_cpu": "ok",
    }
    lock = next(cell for cell in said["cells"] if cell["scenario"] == "with_lock")
    packages = {side: [name.partition(".")[0] for name in names] for side, names in lock["classes"].items()}
    assert packages == {"stdlib": ["multiprocessing"], "mpfast": ["mpfast"]}
    assert lock["interval"]["low"] <= lock["times_faster"] <= lock["interval"]["high"]
    assert len(lock["pairs_ns"]) >= 6
    assert said["summary"]["skipped"] == 1
    assert "only one CPU" in done.stdout
    page = (tmp_path / "out" / "index.html").read_text()
    assert f"{units.three_digits(lock['times_faster'])}x" in page
    assert "$" not in re.sub("<script>.*?</script>", "", page, flags=re.DOTALL)
    assert not re.search("(src|href)=.?(http|//)", page)


def test_failure_is_the_exit_status(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(main, "cells", lambda only: [faulty_bench.cell("wrong_class"), faulty_bench.cell("works")])
    monkeypatch.setattr(main, "Run", lambda *args, **kwargs: Run(*args, **kwargs, command=FAULTY))
    assert main.main(["--aa", "--quick", "--out", str(tmp_path)]) == main.NOT_ALL_MEASURED
    assert "failed: faulty/wrong_class/fork/one_cpu: the stdlib side ran" in capsys.readouterr().out
    assert "What could not be measured" in (tmp_path / "index.html").read_text()


def test_unknown_cell_is_a_usage_error():
    done = harness("--only", "no_such_thing")
    assert done.returncode == 2
    assert "no cell's name contains 'no_such_thing'" in done.stderr


def children(pid):
    """Those of a process and theirs, which may be gone already."""
    try:
        direct = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return set()
    return {int(child) for child in direct}.union(*(children(int(child)) for child in direct))


def runs(pid):
    """Whoever inherits a dead process may not have taken notice yet."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in "ZX"


def test_interrupt_keeps_what_was_measured(tmp_path):
    """More pairs than can be: the run is certainly not over when the signal comes."""
    endless = ("--aa", "--pairs", "1000000", "--only", "event_turns/fork/one")
    command = (*HARNESS, *endless, "--json", tmp_path / "data.json", "--out", tmp_path)
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as run:
        end = monotonic() + DEADLINE
        while len(family := children(run.pid)) < 3 and monotonic() < end:
            sleep(0.01)
        run.send_signal(signal.SIGINT)
        output, _ = run.communicate(timeout=DEADLINE)
    assert run.returncode == 130
    assert len(family) >= 3  # the one that measures, and its two peers
    assert not any(map(runs, family))
    assert json.loads((tmp_path / "data.json").read_text())["cells"] == []
    assert "stopped early: 1 of 1 cells were not tried" in output
    assert (tmp_path / "index.html").exists()
