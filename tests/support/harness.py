# SPDX-License-Identifier: MIT
"""The parent's side of the tests. Children on a remote control, threads, and looks at processes from outside.

Nothing here sleeps in the hope that something has happened. A test asks until the kernel says that a thread is asleep,
and gives up after PATIENCE, which no passing test comes near.
"""

import contextlib
import os
import signal
import threading
import time

import procfs
import workers

PATIENCE = float(os.environ.get("MPFAST_TEST_PATIENCE", "20"))
DEATH_LIMIT = 0.2  # seconds within which a death must be noticed


class ChildRaised(Exception):
    """What a child's call raised: the name of the type, the text, and pid, tid and name if it has them."""

    def __init__(self, raised):
        super().__init__(f"{raised.kind}: {raised.text}")
        self.kind, self.text, self.details = raised


def value_of(outcome):
    if isinstance(outcome, workers.Raised):
        raise ChildRaised(outcome)
    return outcome.value


def until(condition, what, patience=PATIENCE):
    """Asks until the condition holds. Returns what it returned."""
    deadline = time.monotonic() + patience
    while not (result := condition()):
        assert time.monotonic() < deadline, f"{what}: not after {patience} s"
        time.sleep(0.001)
    return result


def exit_code(process):
    """Of a process that another thread may join too. That one may note the code after join() has returned here."""
    process.join(PATIENCE)
    until(lambda: process.exitcode is not None, f"{process} has an exit code")
    return process.exitcode


def thread_state(pid, tid):
    """The kernel's letter for a thread's state, or "" if it is gone."""
    try:
        return (procfs.thread(pid, tid) / "stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return ""


def children_of(pid):
    """The children of all of its threads, none if it is gone."""
    found = set()
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        for task in (procfs.folder(pid) / "task").iterdir():
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                found.update(map(procfs.pid, (task / "children").read_text().split()))
    return found - {0}


def wait_asleep(pid, tid, looks=6):
    """Returns once the thread was asleep in each of several looks. Then it is blocked, not on its way to something."""
    deadline = time.monotonic() + PATIENCE
    asleep = 0
    while asleep < looks:
        state = thread_state(pid, tid)
        assert state != "", f"process {pid} ended instead of blocking"
        assert time.monotonic() < deadline, f"process {pid} does not block, its state is {state}"
        asleep = asleep + 1 if state == "S" else 0
        time.sleep(0.001)


def run_process(process):
    """Has it run to a good end."""
    process.start()
    process.join(PATIENCE)
    assert process.exitcode == 0
    process.close()


class Child:
    """A process that was started with some objects and does with them what it is told.

    run() waits for the result. begin() returns once the child is blocked in the call, result() ends it.
    on(thing).method(...) is short for run, off(thing).method(...) for begin.
    """

    def __init__(self, ctx, *objects, **options):
        self.objects = objects
        self.link, theirs = ctx.Pipe()
        self.process = ctx.Process(target=workers.serve, args=(theirs, *objects), **options)
        self.busy = False
        try:
            self.process.start()
        finally:
            theirs.close()
        self.pid, self.tid = self.receive("did not start")

    def receive(self, problem, patience=PATIENCE):
        assert self.link.poll(patience), f"child {self.process.name}: {problem} within {patience} s"
        return self.link.recv()

    def reference(self, argument):
        for index, thing in enumerate(self.objects):
            if thing is argument:
                return workers.Reference(index)
        return argument

    def send(self, function, *args, **kwargs):
        assert not self.busy
        self.link.send((function, [self.reference(a) for a in args], kwargs))
        self.busy = True

    def begin(self, function, /, *args, **kwargs):
        self.send(function, *args, **kwargs)
        self.asleep()
        return self

    def asleep(self):
        wait_asleep(self.pid, self.tid)
        assert not self.link.poll(0), f"the call did not block: {self.link.recv()}"

    def outcome(self, patience=PATIENCE):
        result = self.receive("no result", patience)
        self.busy = False
        return result

    def result(self, patience=PATIENCE):
        return value_of(self.outcome(patience))

    def run(self, function, /, *args, **kwargs):
        self.send(function, *args, **kwargs)
        return self.result()

    def on(self, thing):
        return Remote(self.run, thing)

    def off(self, thing):
        return Remote(self.begin, thing)

    def signal(self, signum):
        os.kill(self.pid, signum)

    def kill(self):
        """SIGKILL. Returns the time right before it."""
        now = time.monotonic()
        os.kill(self.pid, signal.SIGKILL)
        self.process.join(PATIENCE)
        assert self.process.exitcode == -signal.SIGKILL
        return now

    def end(self):
        """A normal end."""
        self.link.send(None)
        self.process.join(PATIENCE)
        assert self.process.exitcode == 0

    def dispose(self):
        """For the end of a test: an idle child ends by itself, any other is killed."""
        if self.process.is_alive() and not self.busy:
            with contextlib.suppress(OSError):
                self.link.send(None)
                self.process.join(PATIENCE)
        if self.process.is_alive():
            os.kill(self.pid, signal.SIGKILL)
            self.process.join(PATIENCE)
        self.link.close()
        self.process.close()


class Remote:
    """child.on(lock).acquire(False) is child.run(invoke, lock, "acquire", False)."""

    def __init__(self, run, thing):
        self.run, self.thing = run, thing

    def __getattr__(self, method):
        return lambda *args, **kwargs: self.run(workers.invoke, self.thing, method, *args, **kwargs)


class Thread(threading.Thread):
    """A thread that tells its result, and whether it is blocked."""

    def __init__(self, function, *args, name=None, **kwargs):
        super().__init__(daemon=True, name=name)
        self.call = (function, args, kwargs)
        self.outcome = self.seconds = None
        self.start()

    def run(self):
        function, args, kwargs = self.call
        begin = time.monotonic()
        try:
            self.outcome = (function(*args, **kwargs), None)
        except BaseException as e:
            self.outcome = (None, e)
        self.ended = time.monotonic()
        self.seconds = self.ended - begin

    def asleep(self):
        wait_asleep(os.getpid(), self.native_id)
        assert self.outcome is None, f"the call did not block: {self.outcome}"
        return self

    def result(self, patience=PATIENCE):
        self.join(patience)
        assert not self.is_alive(), f"thread {self.name} is still blocked after {patience} s"
        value, error = self.outcome
        del self.call
        if error is not None:
            raise error
        return value


def aside(function, *args, **kwargs):
    """Runs the call in a thread of its own and waits for its result."""
    return Thread(function, *args, **kwargs).result()


class Noise:
    """Measures how late this machine's scheduler wakes a thread while the block runs: `with Noise() as noise`.

    A limit in milliseconds is asserted plus what the same seconds cost a thread that only sleeps.
    """

    def __enter__(self):
        self.worst = 0.0
        self.over = threading.Event()
        self.thread = threading.Thread(target=self.watch, daemon=True)
        self.thread.start()
        return self

    def watch(self):
        before = time.monotonic()
        while not self.over.wait(0.005):
            now = time.monotonic()
            self.worst = max(self.worst, now - before - 0.005)
            before = now

    def __exit__(self, *_):
        self.over.set()
        self.thread.join()

    def limit(self, seconds):
        """A dozen milliseconds for the messages between the processes, and three delays like the worst one seen."""
        return seconds + 0.02 + 3 * self.worst + float(os.environ.get("MPFAST_TEST_SLACK", "0"))
