# SPDX-License-Identifier: MIT
"""What processes of the tests do with what they are given: arguments, pools, queues, values, their own descriptors."""

import contextlib
import os

from ends import hold_and_sleep
from workers import increment


def add_one(counter):
    counter[0] += 1


def fail():
    raise ZeroDivisionError("the action failed")


def write_pid(cell):
    cell[0] = os.getpid()


class Box:
    def __init__(self, content):
        self.content = content


def try_all(seen, lock, nested, *, keyword):
    """seen[i]: could the lock that came this way be acquired?"""
    for i, way in enumerate((lock, nested["list"][1][0], nested["object"].content, keyword)):
        seen[i] = way.acquire(False)
        if seen[i]:
            way.release()


def pass_on(method, ctx, lock, seen, generations):
    """Starts a child, which does the same. The last one writes down whether it could acquire the lock."""
    assert ctx.get_start_method() == method
    if generations == 0:
        seen[0] = lock.acquire(False)
        if seen[0]:
            lock.release()
        return
    process = ctx.Process(target=pass_on, args=(method, ctx, lock, seen, generations - 1))
    process.start()
    process.join()
    assert process.exitcode == 0


class _TryLock:
    """Mixin for a Process class."""

    def __init__(self, lock, seen):
        super().__init__()
        self.lock, self.seen = lock, seen

    def run(self):
        self.seen[0] = self.lock.acquire(False)
        if self.seen[0]:
            self.lock.release()


def process_class(ctx):
    """A subclass of the context's Process that a spawned child can import."""
    name = f"{type(ctx).__module__.partition('.')[0]}_{ctx.get_start_method()}"
    return globals().setdefault(name, type(name, (_TryLock, ctx.Process), {"__module__": __name__}))


def __getattr__(name):
    """In a spawned child the classes of process_class do not exist yet when it unpickles one of their objects."""
    package, _, method = name.partition("_")
    if package not in ("multiprocessing", "mpfast"):
        raise AttributeError(name)
    return process_class(__import__(package).get_context(method))


def square(number):
    return number * number


def add_to_value(value, number):
    with value.get_lock():
        value.get_obj().value += number


def drain(queue, count):
    return [queue.get() for _ in range(count)]


def take_and_finish(queue, count):
    items = []
    for _ in range(count):
        items.append(queue.get())
        queue.task_done()
    return items


_kept = None


def keep(thing):
    """For initializers."""
    global _kept
    _kept = thing


def add_to_kept(number):
    with _kept:
        _kept.value += number
        return _kept.value


def increment_kept(times):
    increment(*_kept, times)


def acquire_kept():
    return _kept.acquire()


def hold_kept():
    hold_and_sleep(_kept)


def list_locks():
    import mpfast

    return [tuple(info) for info in mpfast.locks()]


def parent_pid():
    import multiprocessing

    return multiprocessing.parent_process().pid


_many = []


def make_many(count):
    import mpfast

    _many.extend(mpfast.Lock() for _ in range(count))


def _links():
    for fd in os.listdir("/proc/self/fd"):
        with contextlib.suppress(FileNotFoundError):
            yield os.readlink(f"/proc/self/fd/{fd}")


def family_descriptors():
    return sum("memfd:mpfast" in link for link in _links())


def descriptors_of_a_program():
    import subprocess

    output = subprocess.check_output(["ls", "-l", "/proc/self/fd"], text=True, close_fds=False)
    return [line for line in output.splitlines() if "memfd" in line]


def add_generation(ctx, locks, seen, generations):
    """Starts a child with one lock more. The last one counts those that can be taken, all without a holder."""
    import mpfast

    locks = [*locks, mpfast.Lock()]
    if generations == 1:
        seen[0] = sum(lock.acquire(False) for lock in locks)
        return
    process = ctx.Process(target=add_generation, args=(ctx, locks, seen, generations - 1))
    process.start()
    process.join()
    assert process.exitcode == 0
