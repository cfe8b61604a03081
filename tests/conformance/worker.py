# SPDX-License-Identifier: MIT
"""`worker.py FOLDER MODULE EVENTS [TEST...]`: runs one module of CPython's tests, and writes what happens.

It is the main module of the tests' children too, and counts there as well what they make.
"""

import json
import os
import sys
import unittest

COUNTED = ("Barrier", "BoundedSemaphore", "Condition", "Event", "JoinableQueue", "Lock", "Pipe", "Pool", "Queue")
COUNTED += ("RLock", "Semaphore", "SimpleQueue")


def census() -> None:
    """Each object that a context of mpfast's makes, and each process, is a line in a file."""
    file = os.environ.get("CONFORMANCE_CENSUS")
    context = sys.modules.get("mpfast.context")
    if not file or not context:
        return

    def counted(name, function):
        def call(self, *args, **keywords):
            made = function(self, *args, **keywords)
            kind = f"{self._start_method or self._mpfast_start_method} Process" if name == "start" else name
            where = "main" if __name__ == "__main__" and os.getpid() == MAIN else "child"
            with open(file, "a") as lines:
                lines.write(f"{kind} {where}\n")
            return made

        return call

    for name in COUNTED:
        setattr(context.Context, name, counted(name, getattr(context.Context, name)))
    context._Starts.start = counted("start", context._Starts.start)
    count_engines(file)
    count_memory(file)
    import multiprocessing

    for name in {*multiprocessing.__all__} & {*COUNTED}:  # bound to the default context before
        setattr(multiprocessing, name, getattr(context._default_context, name))


def count_engines(file):
    """A line for each pool or executor with mpfast's engine."""
    from mpfast.tasks.crew import Crew

    begin = Crew.__init__

    def __init__(self, ctx, size, initializer, initargs, maxtasks, kind, **more):
        begin(self, ctx, size, initializer, initargs, maxtasks, kind, **more)
        with open(file, "a") as lines:
            lines.write(f"{ctx.get_start_method()} engine of kind {kind}\n")

    Crew.__init__ = __init__


def count_memory(file):
    """A line for each SharedMemory that has no name when it is made, or comes to a child."""
    from mpfast.shared_memory import SharedMemory

    take = SharedMemory._take

    def _take(self, *args):
        with open(file, "a") as lines:
            lines.write("SharedMemory of mpfast's\n")
        return take(self, *args)

    SharedMemory._take = _take


class Events(unittest.TestResult):
    """Writes them while they happen: who waits for the next one knows which test hangs."""

    def __init__(self, file):
        super().__init__()
        self.file = file
        self.status = self.text = ""

    def tell(self, **event):
        self.file.write(json.dumps(event) + "\n")
        self.file.flush()

    def startTest(self, test):
        super().startTest(test)
        self.status, self.text = "pass", ""
        self.tell(start=name_of(test))

    def stopTest(self, test):
        super().stopTest(test)
        self.tell(end=name_of(test), status=self.status, text=self.text[-3000:])

    def note(self, test, status, text):
        self.status, self.text = status, text
        if not hasattr(test, "_testMethodName"):  # setUpClass and the like
            self.tell(end=str(test), status=status, text=text[-3000:])

    def addError(self, test, error):
        self.note(test, "error", self._exc_info_to_string(error, test))

    def addFailure(self, test, error):
        self.note(test, "fail", self._exc_info_to_string(error, test))

    def addSubTest(self, test, subtest, error):
        if error is not None:
            self.note(test, "fail", self._exc_info_to_string(error, test))

    def addSkip(self, test, reason):
        self.note(test, "skip", reason)


def name_of(test):
    return f"{type(test).__name__}.{test._testMethodName}"


def flat(suite):
    for test in suite:
        yield from flat(test) if isinstance(test, unittest.TestSuite) else (test,)


def main(module, events, *only):
    tests = unittest.defaultTestLoader.loadTestsFromName(module)
    chosen = [test for test in flat(tests) if wanted(test, only)]
    with open(events, "a") as file:
        result = Events(file)
        result.tell(tests=len(chosen))
        unittest.TestSuite(chosen).run(result)
        result.tell(done=True)


def wanted(test, only):
    """Every test, those named, or, with "-" before them, all others. Of the executors those with processes."""
    if "concurrent_futures" in type(test).__module__ and "ProcessPool" not in type(test).__name__:
        return False
    if only[:1] == ("-",):
        return name_of(test) not in only
    return not only or name_of(test) in only


if len(sys.argv) > 3 and sys.argv[1] not in sys.path:
    sys.path.insert(0, sys.argv[1])
MAIN = os.getpid()
census()

if __name__ == "__main__":
    main(*sys.argv[2:])
