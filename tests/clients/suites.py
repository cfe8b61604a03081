# SPDX-License-Identifier: MIT
"""Other projects' own tests, with multiprocessing and with mpfast in its place: `make clients ARGS=--suites`.

A test is lost if it passes with multiprocessing and fails with mpfast, by itself and in each of three tries.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import running

HERE = Path(__file__).parent
SILENCE = 240  # seconds without a word after which a test hangs
TRIES = 3
# What mpfast does not do, as docs/differences.md says with the reasons.
EXPECTED = re.compile(
    "test_queue_feeder_donot_stop_onexc|test_queue_feeder_on_queue_feeder_error|test_mixed_startmethod"
    "|test_resource_tracker(_sigkill|_reused)?$|test_forkserver_without_auth_fails"
)
OPTIONS = ("-p", "no:cacheprovider", "-p", "outcomes", "-q", "--timeout=120", "-W", "ignore")


def loky(folder):
    """Its tests, on the loky that is installed. They count the children of the fork server, and spares are none."""
    shutil.rmtree(folder / "loky", ignore_errors=True)
    helper, counted = folder / "tests/_executor_mixin.py", "_direct_children_with_cmdline(fs)\n"
    known = "{process.pid for process in __import__('multiprocessing').process._children}"
    text = helper.read_text().replace(f"+= {counted}", f"+= [c for c in {counted.strip()} if c[0].pid in {known}]\n")
    helper.write_text(text)
    return [f"tests/{name}" for name in sorted(os.listdir(folder / "tests")) if name.startswith("test_")]


def joblib(folder):
    return [f"joblib/test/test_{name}.py" for name in ("parallel", "memmapping", "config")]


def pebble(folder):
    return [f"test/{name}" for name in sorted(os.listdir(folder / "test")) if "process" in name]


def multiprocess(folder):
    """CPython's tests, which multiprocess has renamed. Their names of modules are changed back."""
    version = f"py{sys.version_info.major}.{sys.version_info.minor}"
    tests = folder / "mptests"
    if not tests.exists():
        shutil.copytree(folder / version / "multiprocess/tests", tests)
    for path in tests.rglob("*.py"):
        text = re.sub(r"\bmultiprocess\.tests\b", "mptests", path.read_text())
        path.write_text(re.sub(r"\bmultiprocess\b", "multiprocessing", text))
    return [str(path.relative_to(folder)) for path in sorted(tests.rglob("test_*/test_*.py"))]


SUITES = {"loky": loky, "joblib": joblib, "pebble": pebble, "multiprocess": multiprocess}


class Run:
    """The tests of one file, with or without mpfast."""

    def __init__(self, folder, file, launcher, events):
        self.folder, self.file, self.launcher, self.events = folder, file, launcher, events
        self.events.parent.mkdir(parents=True, exist_ok=True)
        self.events.write_text("")

    def outcomes(self, *only):
        """{test: outcome}. It goes on behind a test that takes pytest with it, which then counts as a crash."""
        while True:
            before = self.events.read_text()
            self.attempt(only)
            text = self.events.read_text()
            if text == before or '"done"' in text[len(before) :]:
                return self.read()

    def attempt(self, only):
        environment = os.environ | {
            "CLIENTS_EVENTS": str(self.events),
            "CLIENTS_ONLY": "\n".join(only),
            "JOBLIB_TEMP_FOLDER": str(self.events.parent),  # else /dev/shm, where other programs' tests look
            "PYTHONPATH": os.pathsep.join([str(HERE), str(self.folder)]),
        }
        command = [sys.executable, *self.launcher, "-m", "pytest", *OPTIONS, self.file]
        with self.events.with_suffix(".log").open("ab") as log:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.folder,
                env=environment,
                start_new_session=True,
                preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
            )
            self.follow(process)
            running.end_all(grace=2)

    def follow(self, process):
        size, heard = -1, time.monotonic()
        while process.poll() is None and time.monotonic() - heard < SILENCE:
            if self.events.stat().st_size != size:
                size, heard = self.events.stat().st_size, time.monotonic()
            time.sleep(0.1)
        if process.poll() is None:
            process.kill()
            process.wait()

    def read(self):
        found, self.texts = {}, {}
        for line in self.events.read_text().splitlines():
            event = json.loads(line)
            if "start" in event:
                found[event["start"]] = "crash"
            elif "end" in event and found.get(event["end"]) != "failed":  # a subtest, or the teardown, may fail it
                found[event["end"]] = event["outcome"]
                self.texts[event["end"]] = event["text"]
        return found


def passes(folder, file, launcher, events, test):
    return Run(folder, file, launcher, events).outcomes(test).get(test) == "passed"


def lost(folder, file, events, test):
    """Whether it fails with mpfast three times more, and passes with multiprocessing by itself."""
    ours = [passes(folder, file, ["-m", "mpfast"], events, test) for _ in range(TRIES)]
    return not any(ours) and passes(folder, file, [], events, test)


def compare(folder, file, events):
    """Runs a file's tests both ways. Returns (passed plain, passed ours, lost tests with what they said)."""
    name = re.sub(r"\W+", "_", file)
    plain = Run(folder, file, [], events / f"{name}.plain").outcomes()
    run = Run(folder, file, ["-m", "mpfast"], events / f"{name}.ours")
    ours = run.outcomes()
    suspects = [test for test, how in plain.items() if how == "passed" and ours.get(test) != "passed"]
    bad = [
        test for test in suspects if not EXPECTED.search(test) and lost(folder, file, events / f"{name}.again", test)
    ]
    count = [sum(how == "passed" for how in found.values()) for found in (plain, ours)]
    return *count, {test: run.texts.get(test, "it took pytest with it") for test in bad}, len(suspects)


def unpacked(name, version, folder):
    """The source of a project, as its sdist has it."""
    target = folder / name
    if not target.exists():
        words = ["download", "--quiet", "--no-deps", "--no-binary", name, "--dest", folder, f"{name}=={version}"]
        subprocess.run([sys.executable, "-m", "pip", *map(str, words)], check=True, timeout=300)
        with tarfile.open(folder / f"{name}-{version}.tar.gz") as tar:
            tar.extractall(folder, filter="data")
        (folder / f"{name}-{version}").rename(target)
    return target


def main(folder, versions, *only):
    worst = 0
    for name in only or SUITES:
        source = unpacked(name, versions[name], folder)
        files = SUITES[name](source)
        for file in files:
            plain, ours, bad, suspects = compare(source, file, folder / "events" / name)
            print(
                f"{name} {file}: {plain} pass with multiprocessing, {ours} with mpfast, "
                f"{suspects} differed, {len(bad)} lost",
                flush=True,
            )
            for test, text in bad.items():
                print(f"LOST {test}\n{text}", flush=True)
                worst = 1
    return worst
