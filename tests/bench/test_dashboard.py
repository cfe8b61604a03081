# SPDX-License-Identifier: MIT
"""The recorded history and its pages, from a made-up history with a regression in it."""

import argparse
import json
import os
import random
import subprocess
import sys
from pathlib import Path

import browser
import made_up
import pytest

import bench
from bench import track
from bench.base import facts
from bench.floors import yardsticks
from bench.history import asv, databranch, history
from bench.history.databranch import BranchError, DataBranch
from bench.history.recorded import recorded as read_back
from bench.page import assets, dashboard, plots
from bench.page.floor import name_of
from bench.page.report import write_page
from bench.suites.plan import cells

ROOT = Path(bench.ROOT)
PYTHON = "%d.%d" % sys.version_info[:2]  # noqa: UP031
COMMITS, SLOW, SLOWER = 14, 8, 1.5
SCENARIOS, METHODS = ["with_lock", "event_is_set"], ["fork"]

pytestmark = pytest.mark.timeout(150)


def git(folder, *arguments):
    return databranch.git(folder, "-c", "user.name=somebody", "-c", "user.email=some@body", *arguments)


def commit(folder, number):
    (folder / "file").write_text(str(number))
    git(folder, "add", "file")
    stamp = f"2026-01-{number + 1:02} 12:00:00 +0000"
    os.environ.update(GIT_AUTHOR_DATE=stamp, GIT_COMMITTER_DATE=stamp)
    git(folder, "commit", "-q", "-m", f"change {number}")
    return git(folder, "rev-parse", "HEAD")


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """A repository of a few commits, whose hashes it has as `commits`."""
    for name in ("GIT_AUTHOR_DATE", "GIT_COMMITTER_DATE"):
        monkeypatch.setenv(name, "")
    folder = tmp_path / "repository"
    folder.mkdir()
    git(folder, "init", "-q", "-b", "main")
    (folder / ".git" / "info" / "exclude").write_text("/build/\n")
    return folder


@pytest.fixture
def commits(repository):
    return [commit(repository, number) for number in range(COMMITS)]


def times(number, scenario):
    """What a machine would say that is slower at one of them from a commit on."""
    noise = random.Random(f"{number} {scenario}").uniform(0.99, 1.01)
    return 0.25 * noise * (SLOWER if number >= SLOW and scenario == "with_lock" else 1)


def result(sha, number, machine, version=track.VERSION):
    values = [times(number, scenario) for scenario in SCENARIOS]
    params = [[repr(name) for name in SCENARIOS], [repr(name) for name in METHODS]]
    columns = ["result", "params", "version", "stats_ci_99_a", "stats_ci_99_b"]
    row = [values, params, version, [v * 0.98 for v in values], [v * 1.02 for v in values]]
    return {
        "commit_hash": sha,
        "env_name": f"virtualenv-py{PYTHON}",
        "date": 1767268800000 + number * 86400000,
        "params": {**machine, "python": PYTHON},
        "python": PYTHON,
        "requirements": {},
        "env_vars": {},
        "result_columns": columns,
        "results": {"track.track_alone": row},
        "durations": {},
        "version": 2,
    }


def benchmark():
    return {
        "code": "",
        "name": "track.track_alone",
        "param_names": ["scenario", "method"],
        "params": [[repr(name) for name in SCENARIOS], [repr(name) for name in METHODS]],
        "timeout": 120,
        "type": "track",
        "unit": "x stdlib time",
        "version": track.VERSION,
    }


@pytest.fixture
def recorded(repository, commits):
    """The branch, with a result for each commit."""
    machine = asv.machine(facts.gather(same=True))
    branch = DataBranch(repository)
    folder = branch.results / machine["machine"]
    folder.mkdir(parents=True)
    (folder / "machine.json").write_text(json.dumps({**machine, "version": 1}))
    unmeasured = benchmark() | {"name": "track.track_duo"}
    known = {"track.track_alone": benchmark(), "track.track_duo": unmeasured, "version": 2}
    (branch.results / "benchmarks.json").write_text(json.dumps(known))
    for number, sha in enumerate(commits):
        path = folder / f"{sha[:8]}-virtualenv-py{PYTHON}.json"
        path.write_text(json.dumps(result(sha, number, machine)))
    assert branch.keep("a made-up history")
    return branch


def test_branch_is_made_and_work_tree_untouched(repository, commits):
    (repository / "file").write_text("being edited")
    before = git(repository, "status", "--porcelain"), git(repository, "rev-parse", "HEAD")
    branch = DataBranch(repository)
    assert not branch.keep("nothing is new")
    (branch.folder / "a").write_text("1")
    assert branch.keep("a result")
    assert git(repository, "log", "--format=%s", databranch.BRANCH).splitlines()[0] == "a result"
    assert git(repository, "ls-tree", "--name-only", databranch.BRANCH) == "a"
    assert (git(repository, "status", "--porcelain"), git(repository, "rev-parse", "HEAD")) == before
    assert DataBranch(repository).folder == branch.folder


def test_branch_goes_on_after_make_clean(repository, recorded):
    subprocess.run(["rm", "-rf", repository / "build"], check=True)
    assert (DataBranch(repository).results / "benchmarks.json").exists()


def test_branch_goes_on_in_another_clone(repository, recorded, tmp_path):
    git(tmp_path, "clone", "-q", str(repository), "clone")
    again = databranch.find(tmp_path / "clone")
    assert sorted(again.rglob("*.json")) != []
    assert git(again, "rev-parse", "HEAD") == git(repository, "rev-parse", databranch.BRANCH)


def test_branch_checked_out_by_the_user_is_left_alone(repository, recorded):
    subprocess.run(["rm", "-rf", repository / "build"], check=True)
    git(repository, "worktree", "prune")
    git(repository, "switch", "-q", databranch.BRANCH)
    with pytest.raises(BranchError, match=r"bench-data is checked out in .*repository"):
        DataBranch(repository)


def options(**known):
    return argparse.Namespace(**{"only": None, "rounds": None, "list": False, "steps": None, "again": False} | known)


def test_recorded_results_are_not_measured_again(repository, recorded, commits, monkeypatch):
    monkeypatch.setattr(asv, "FOLDER", repository / "build" / "asv")
    monkeypatch.setattr(history, "BENCHMARKS", ["track_alone", "track_duo"])
    known = history.History(repository, recorded, options())
    new = commit(repository, COMMITS)
    wanted = [history.Job(sha, "track_duo") for sha in commits]
    assert known.wanted([*commits, new]) == [
        *wanted,
        history.Job(new, "track_alone"),
        history.Job(new, "track_duo"),
    ]


@pytest.mark.parametrize("change", [{"os": "Linux 1.0"}, {"machine": "another"}])
def test_results_of_another_machine_do_not_count(repository, recorded, commits, monkeypatch, change):
    monkeypatch.setattr(asv, "FOLDER", repository / "build" / "asv")
    monkeypatch.setattr(history, "BENCHMARKS", ["track_alone"])
    machine = asv.machine(facts.gather(same=True)) | change
    monkeypatch.setattr(asv, "machine", lambda facts: machine)
    known = history.History(repository, recorded, options())
    known.facts.machine = machine["machine"]
    assert [job.commit for job in known.wanted(commits)] == commits


def test_results_of_another_version_do_not_count(repository, recorded, commits, monkeypatch):
    monkeypatch.setattr(asv, "FOLDER", repository / "build" / "asv")
    monkeypatch.setattr(track, "VERSION", "next")
    monkeypatch.setattr(history, "BENCHMARKS", ["track_alone"])
    assert len(history.History(repository, recorded, options()).wanted(commits)) == COMMITS


FAKE_ASV = """#!{python}
import json, os, signal, sys
words = sys.argv[1:]
if words[0] == "run":
    results = json.load(open(words[words.index("--config") + 1]))["results_dir"]
    machine, sha = words[words.index("--machine") + 1], words[-1].removesuffix("^!")
    with open({runs!r}, "a") as runs:
        print(sha, file=runs)
    print("[ 50.00%] half of it", flush=True)
    if {stop!r} == sha:
        os.kill(os.getppid(), signal.SIGINT)
        signal.pause()
    if {fail!r} == sha:
        sys.exit(1)
    folder = os.path.join(results, machine)
    os.makedirs(folder, exist_ok=True)
    made = json.load(open({made!r}))
    with open(os.path.join(folder, sha[:8] + "-virtualenv.json"), "w") as file:
        json.dump(made | {{"commit_hash": sha}}, file)
"""


@pytest.fixture
def fake_asv(tmp_path, repository, monkeypatch):
    """fake_asv(stop, fail): an asv interrupted at one commit, failing at another. Returns who was asked for."""
    monkeypatch.setattr(asv, "FOLDER", repository / "build" / "asv")
    monkeypatch.setattr(history, "BENCHMARKS", ["track_alone"])
    made, runs, script = tmp_path / "made.json", tmp_path / "runs", tmp_path / "asv"
    made.write_text(json.dumps(result("", 0, asv.machine(facts.gather(same=True)))))

    def install(stop="", fail=""):
        runs.write_text("")
        known = {"python": sys.executable, "made": str(made), "runs": str(runs)}
        script.write_text(FAKE_ASV.format(stop=stop, fail=fail, **known))
        script.chmod(0o755)
        monkeypatch.setattr(asv, "command", lambda: str(script))
        return lambda: runs.read_text().split()

    return install


def test_interrupt_keeps_what_was_recorded_and_the_next_run_goes_on(repository, commits, fake_asv):
    branch = DataBranch(repository)
    asked = fake_asv(stop=commits[2])
    assert history.record(history.History(repository, branch, options()), commits[:4]) == history.INTERRUPTED
    assert asked() == commits[:3]
    told = git(repository, "log", "--format=%s", databranch.BRANCH).splitlines()
    assert [line[:8] for line in told[:2]] == [commits[1][:8], commits[0][:8]]
    asked = fake_asv()
    assert history.record(history.History(repository, branch, options()), commits[:4]) == history.RECORDED
    assert asked() == commits[2:4]
    (kept,) = branch.facts.glob(f"*/{commits[3][:8]}.json")
    assert json.loads(kept.read_text())["commit"] == commits[3]


def test_commit_that_cannot_be_measured_is_named_and_tried_again(repository, commits, fake_asv, capsys):
    branch = DataBranch(repository)
    fake_asv(fail=commits[1])
    known = history.History(repository, branch, options())
    assert history.record(known, commits[:3]) == history.NOT_ALL_RECORDED
    assert f"no result: {commits[1][:8]} track_alone" in capsys.readouterr().err
    assert [job.commit for job in known.wanted(commits[:3])] == [commits[1]]


def test_again_replaces_a_result_or_leaves_it(repository, recorded, commits, fake_asv, capsys):
    folder = recorded.results / asv.machine(facts.gather(same=True))["machine"]
    before = {sha: (folder / f"{sha[:8]}-virtualenv-py{PYTHON}.json").read_text() for sha in commits[:3]}
    asked = fake_asv(fail=commits[1])
    again = history.History(repository, recorded, options(again=True))
    assert history.record(again, commits[:3]) == history.NOT_ALL_RECORDED
    assert asked() == commits[:3]
    assert (folder / f"{commits[1][:8]}-virtualenv-py{PYTHON}.json").read_text() == before[commits[1]]
    for sha in (commits[0], commits[2]):
        assert (folder / f"{sha[:8]}-virtualenv-py{PYTHON}.json").read_text() != before[sha]
        assert json.loads((folder / f"{sha[:8]}-virtualenv.json").read_text())["commit_hash"] == sha
    assert f"no result: {commits[1][:8]}" in capsys.readouterr().err
    assert git(recorded.folder, "status", "--porcelain") == ""


def test_range_is_oldest_first_and_can_be_thinned(repository, commits):
    assert history.selected(repository, f"{commits[2]}..HEAD") == commits[3:]
    assert history.spread(commits, 4) == [commits[0], commits[4], commits[9], commits[13]]
    assert history.spread(commits, 1) == commits[-1:]
    with pytest.raises(BranchError, match=r"no commit is in HEAD\.\.HEAD"):
        history.selected(repository, "HEAD..HEAD")
    with pytest.raises(BranchError, match="nonsense"):
        history.selected(repository, "nonsense")


def test_asset_that_is_not_what_was_pinned_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(assets, "download", lambda package: b"something else")
    with pytest.raises(assets.AssetError, match=r"jquery 3.3.1 has sha512 .* is pinned"):
        assets.fetch(tmp_path)
    assert not assets.cached(tmp_path)


def test_without_network_the_message_says_what_is_missing(tmp_path, monkeypatch):
    monkeypatch.setattr(assets.shutil, "which", lambda name: None)
    monkeypatch.setattr(assets, "REGISTRY", "http://127.0.0.1:9")  # nobody listens
    with pytest.raises(assets.AssetError, match=r"jquery 3.3.1 cannot be fetched from the npm registry: .*refused"):
        assets.fetch(tmp_path)


def test_dashboard_of_nothing_says_so(repository, commits, tmp_path, capsys):
    arguments = ["--no-serve", "--repository", str(repository), "--out", str(tmp_path / "out")]
    assert dashboard.main(arguments) == dashboard.NOT_PUBLISHED
    assert "nothing is recorded yet: make history" in capsys.readouterr().err


@pytest.fixture
def pages(repository, recorded, tmp_path, monkeypatch):
    """A dashboard of the made-up history, with a page beside it."""
    if not Path(asv.command()).exists():
        pytest.skip("asv is not installed: make asv")
    if not assets.cached():
        pytest.skip("asv's assets are not there: make dashboard fetches them")
    monkeypatch.setattr(asv, "FOLDER", repository / "build" / "asv")
    machine = facts.gather(same=True)
    machine.yardsticks = {"swap": 9.0}
    known = read_back(machine, repository)
    page = write_page(tmp_path, made_up.results(), machine, ["made up"], plots.Library(), known)
    out = tmp_path / "dashboard"
    dashboard.make(repository, out, page)
    return out


def test_history_is_read_back(repository, recorded, commits):
    known = read_back(facts.gather(same=True), repository)
    points = known.of("with_lock", "fork", "one_cpu")
    assert [point.commit for point in points] == commits
    assert [point.ratio for point in points] == [1 / times(number, "with_lock") for number in range(COMMITS)]
    assert all(point.low < point.ratio < point.high for point in points)
    assert known.elsewhere == 0


def test_history_of_another_machine_is_not_mixed_in(repository, recorded):
    machine = facts.gather(same=True)
    machine.kernel = "Linux 1.0"
    known = read_back(machine, repository)
    assert known.series == {}
    assert known.elsewhere == COMMITS


def test_nothing_recorded_is_no_error(repository, commits, tmp_path):
    assert read_back(facts.gather(same=True), repository).series == {}
    assert read_back(facts.gather(same=True), tmp_path).series == {}


def test_floors_are_measured_or_left_out(monkeypatch, tmp_path):
    monkeypatch.setattr(yardsticks, "PROGRAM", str(tmp_path / "yardsticks"))
    known = yardsticks.measure()
    assert set(yardsticks.NAMES) - {"turn_two_cpus"} <= set(known) <= set(yardsticks.NAMES)
    assert all(value > 0 for value in known.values())
    assert known["copy_1k"] < known["copy_64m"]
    monkeypatch.setattr(yardsticks, "PROGRAM", str(tmp_path / "another"))
    monkeypatch.setenv("CC", "there-is-no-such-compiler")
    assert yardsticks.measure() == {}


def test_every_cell_has_a_known_floor_or_none():
    assert {name_of(cell) for cell in cells()} <= {*yardsticks.NAMES, ""}


def test_regressions_name_the_commit(pages, commits):
    (regression,) = json.loads((pages / "regressions.json").read_text())["regressions"]
    assert "with_lock" in regression[0]
    ((_, revision, old, new),) = regression[-1]
    known = json.loads((pages / "index.json").read_text())["revision_to_hash"]
    assert list(known.values()) == commits
    assert list(known) == [str(number) for number in range(COMMITS)]
    assert known[str(revision)] == commits[SLOW]
    assert new / old == pytest.approx(SLOWER, rel=0.05)


def test_pages_in_a_browser(pages, commits, tmp_path):
    if not browser.browser():
        pytest.skip("there is no Chromium")
    graph = "index.html#track.track_alone?p-scenario='with_lock'"
    visits = {
        "index.html#/": "painted(view) > 200",
        "index.html#/summarylist": "view.document.body.innerText.includes('track_alone')",
        "index.html#/regressions": f"view.document.body.innerText.includes('{commits[SLOW][:8]}')",
        graph: "painted(view) > 2000",
        "bench/index.html": "view.document.querySelector('a[href=\"../index.html\"]') && "
        f"view.document.querySelector('#with_lock-fork-one_cpu [aria-label^=\"{COMMITS} commits\"]')",
    }
    asked = [{"address": address, "condition": condition} for address, condition in visits.items()]
    found, failed = browser.visit(pages, asked, tmp_path)
    assert failed == []
    for page, seen in zip(asked, found, strict=True):
        assert seen["ready"], (page, seen)
        assert seen["failures"] == [], page
        assert seen["elsewhere"] == [], page
    ours = found[-1]["text"]
    for told in ("too noisy to tell", "1 of them is slower", "9.00 ns", "History over commits", "made up"):
        assert told in ours, told
    assert "with_lock" in found[2]["text"]
    assert "event_is_set" not in found[2]["text"]


def test_browser_test_sees_what_is_broken(pages, tmp_path):
    """A page without one of its scripts, and one that asks another site."""
    if not browser.browser():
        pytest.skip("there is no Chromium")
    (pages / "vendor" / "flot" / "jquery.flot.js").unlink()
    (pages / "elsewhere.html").write_text("<html><head></head><body><img src=https://example.invalid/a></body></html>")
    asked = [
        {"address": "index.html#/", "condition": "!view.document.querySelector('#nav-li-regressions')"},
        {"address": "elsewhere.html", "condition": "view.failures.length"},
    ]
    (_, elsewhere), failed = browser.visit(pages, asked, tmp_path)
    assert any("jquery.flot.js" in line for line in failed)
    assert elsewhere["failures"] == ["not loaded: https://example.invalid/a"]


def test_command_line_needs_a_range():
    command = [sys.executable, str(ROOT / "bench" / "run.py"), "history"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2
    assert "RANGE" in done.stderr
