# SPDX-License-Identifier: MIT
"""CPython's own tests of multiprocessing, of this interpreter, with mpfast standing in for it: `make conformance`.

What does not pass is tried again, and then without mpfast: what fails there too says nothing about mpfast. What remains
must be in expected.txt, with a reason. --both runs everything without mpfast as well and compares the time and the
warnings. Exit status: 0 if nothing is lost, left over or warned of, 1 if not, 2 if the interpreter has no tests.
"""

import collections
import importlib.util
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).parent
METHODS = ("fork", "forkserver", "spawn")
PARTS = ("processes", "threads", "manager", "misc")
FUTURES = ("as_completed", "deadlock", "init", "process_pool", "shutdown", "wait")
SILENCE = 180  # seconds without a word after which a test hangs
DRIVER = """from test._test_multiprocessing import install_tests_in_module_dict
install_tests_in_module_dict(globals(), {method!r}, {which})
"""


def modules(folder):
    """The names of the test modules that this interpreter has; those of multiprocessing are written here."""
    found, missing = [], []
    if importlib.util.find_spec("test") and importlib.util.find_spec("test._test_multiprocessing"):
        for method in METHODS:
            for part in PARTS:
                which = "exclude_types=True" if part == "misc" else f"only_type={part!r}"
                found.append(f"of_{method}_{part}")
                (folder / f"{found[-1]}.py").write_text(DRIVER.format(method=method, which=which))
        found.append("test.test_multiprocessing_main_handling")
    else:
        missing.append("test._test_multiprocessing")
    if not missing and importlib.util.find_spec("test.test_concurrent_futures"):
        found += [f"test.test_concurrent_futures.test_{name}" for name in FUTURES]
    else:
        missing.append("test.test_concurrent_futures")
    return found, missing


class Part:
    """One module's tests, with or without mpfast."""

    def __init__(self, folder, module, plain=False):
        self.folder, self.module, self.plain = folder, module, plain
        self.results, self.count, self.running, self.done = {}, 0, None, False
        self.log = folder / f"{module}{'.plain' if plain else ''}.log"

    def command(self, events, only):
        launcher = [] if self.plain else ["-m", "mpfast"]
        python = [sys.executable, "-X", "faulthandler", *launcher]
        return [*python, HERE / "worker.py", self.folder, self.module, events, *only]

    def run(self, *only):
        """All of them, or those named; begins again behind a test that hangs or crashes."""
        while not self.done:
            tried = ["-", *self.results] if not only else [name for name in only if name not in self.results]
            if only and not tried:
                break
            self.attempt(tried)
            if not self.done and self.running is None:
                self.results["(outside a test)"] = ("error", self.log.read_text(errors="replace")[-2000:])
                break
        return self.results

    def attempt(self, only):
        events = self.folder / "events"
        events.write_text("")
        self.running = None
        environment = {**os.environ, "CONFORMANCE_CENSUS": "" if self.plain else str(self.folder / "census")}
        with self.log.open("ab") as log, events.open() as file:
            process = subprocess.Popen(
                [str(word) for word in self.command(events, only)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                cwd=self.folder,
                env=environment,
                preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
            )
            try:
                self.follow(process, file)
            finally:
                end(process)
        if self.running is not None:
            self.results[self.running] = ("timeout" if self.hung else "crash", tail(self.log))

    def follow(self, process, file):
        heard = time.monotonic()
        self.hung = False
        while True:
            ended = process.poll() is not None
            lines = file.readlines()
            for line in lines:
                self.take(json.loads(line))
                heard = time.monotonic()
            if ended and not lines:
                return
            if time.monotonic() - heard > SILENCE:
                self.hung = True
                os.killpg(process.pid, signal.SIGABRT)  # faulthandler says where everybody is
                time.sleep(3)
                return
            time.sleep(0.05)

    def take(self, event):
        if "tests" in event:
            self.count = max(self.count, event["tests"])
        elif "start" in event:
            self.running = event["start"]
            how = " without mpfast" if self.plain else ""
            say(f"{self.module}{how}: {len(self.results)}/{self.count} {self.running}")
        elif "end" in event:
            self.running = None
            self.results[event["end"]] = (event["status"], event["text"])
        self.done = self.done or "done" in event


def end(process):
    """Its session was made for it; the leader is not reaped yet, so the number still means it."""
    if process.returncode is None or group_is_there(process.pid):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def group_is_there(group):
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def last_line(text):
    return (text.strip().splitlines() or ["it said nothing"])[-1]


def tail(log):
    return log.read_text(errors="replace")[-6000:]


def say(text):
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\x1b[K{text[:150]}")
        sys.stderr.flush()


def expectations():
    """(pattern, reason) of each line of expected.txt."""
    lines = [line.strip() for line in (HERE / "expected.txt").read_text().splitlines()]
    return [tuple(line.split("  ", 1)) for line in lines if line and not line.startswith("#")]


def check(part, expected, used):
    """Runs a part; returns how many passed, and what is wrong."""
    folder, module, results = part.folder, part.module, part.run()
    bad = [name for name, (status, _) in results.items() if status not in ("pass", "skip")]
    wrong = []
    for name, (status, _) in results.items():
        reason = next((entry for entry in expected if re.search(entry[0], f"{module}.{name}")), None)
        if reason and status != "pass":
            used.add(reason)
        if reason or name not in bad:
            continue
        again = Part(folder, module).run(name).get(name, ("notrun", ""))
        if again[0] == "pass":
            print(f"flaky: {module}.{name} passed the second time, by itself: {last_line(results[name][1])}")
            continue
        plain = Part(folder, module, plain=True).run(name).get(name, ("notrun", ""))
        if plain[0] in ("pass", "notrun"):  # what is no test, setUpClass for example, cannot be tried alone
            wrong.append((f"{module}.{name}", *results[name]))
        else:
            print(f"not ours: {module}.{name}: {plain[0]} without mpfast, too")
    passed = sum(status == "pass" for status, _ in results.values())
    skipped = sum(status == "skip" for status, _ in results.values())
    return passed, skipped, len(bad), wrong


def shared_files():
    return {*os.listdir("/dev/shm")}


def timed(part):
    """Runs all of a part; returns the seconds that it took."""
    begin = time.monotonic()
    part.run()
    return time.monotonic() - begin


def warnings(part):
    """What the tests said at their end of processes, threads and files that were left over, without the numbers."""
    lines = part.log.read_text(errors="replace").splitlines()
    return collections.Counter(re.sub(r"\d+|0x\w+", "N", line) for line in lines if line.startswith("Warning -- "))


class Times:
    """Seconds with mpfast and without, of the parts that ran both ways."""

    def __init__(self):
        self.ours, self.plain, self.warned = 0.0, 0.0, []

    def compare(self, part):
        """Runs all of it without mpfast; what to print about it. The part has run, and nothing of it again yet."""
        plain = Part(part.folder, part.module, plain=True)
        seconds = timed(plain)
        self.plain += seconds
        self.warned += [f"{part.module}: {text}" for text in warnings(part) - warnings(plain)]
        return f", {seconds:4.0f} s without mpfast"


def main():
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # the tests' processes are in sessions of their own
    with tempfile.TemporaryDirectory(prefix="conformance-", ignore_cleanup_errors=True) as folder:
        return run(Path(folder))


def run(folder):
    found, missing = modules(folder)
    only = [word for word in sys.argv[1:] if word != "--both"]
    both = "--both" in sys.argv[1:]
    if only:
        found = [module for module in found if any(text in module for text in only)]
    for name in missing:
        print(f"{sys.executable} has no {name} (Debian has it in libpython3-testsuite): not run")
    if not found:
        return 2
    expected, used, wrong, times = expectations(), set(), [], Times()
    before = shared_files()
    for module in found:
        part = Part(folder, module)
        seconds = timed(part)
        times.ours += seconds
        beside = times.compare(part) if both else ""
        passed, skipped, failed, bad = check(part, expected, used)
        say("")
        print(f"{module:46} {passed:4} passed {skipped:4} skipped {failed:3} not, {seconds:4.0f} s{beside}", flush=True)
        wrong += bad
    left = shared_files() - before
    report(wrong, left, [entry for entry in expected if entry not in used and not only], folder)
    for text in times.warned:
        print(f"warned of with mpfast only: {text}")
    beside = f", {times.plain:.0f} s without mpfast" if both else ""
    print(f"{times.ours:.0f} s{beside}; {len(wrong)} lost")
    return 1 if wrong or left or times.warned else 0


def report(wrong, left, unused, folder):
    for name, status, text in wrong:
        print(f"LOST: {name}: {status}\n{text}")
    for name in sorted(left):
        print(f"left in /dev/shm: {name}")
    for pattern, reason in unused:
        print(f"expected to fail, and did not: {pattern} ({reason})")
    census = folder / "census"
    made = collections.Counter(census.read_text().splitlines() if census.exists() else ())
    print("made by mpfast: " + ", ".join(f"{count} {what}" for what, count in sorted(made.items())))


if __name__ == "__main__":
    sys.exit(main())
