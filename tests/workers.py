# SPDX-License-Identifier: MIT
"""What runs in children: top-level functions, so that a spawned child finds them by name.

Keep the imports few: every spawned child pays for them.
"""

import os
import signal
import threading
import time
from typing import NamedTuple


class Reference(NamedTuple):
    """Stands in a request for one of the objects that the child was started with."""

    index: int


class Returned(NamedTuple):
    value: object


class Raised(NamedTuple):
    """An exception, as it is told to the parent: not all of them can be pickled."""

    kind: str
    text: str
    details: dict


def serve(link, *objects):
    """Runs the requests that come through `link`, one after the other, until None comes."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a background shell may have left it ignored
    link.send((os.getpid(), threading.get_native_id()))
    for function, args, kwargs in iter(link.recv, None):
        link.send(outcome(function, *[resolve(a, objects) for a in args], **kwargs))
    link.close()


def resolve(argument, objects):
    return objects[argument.index] if isinstance(argument, Reference) else argument


def outcome(function, /, *args, **kwargs):
    try:
        return Returned(function(*args, **kwargs))
    except BaseException as e:
        details = {name: getattr(e, name) for name in ("pid", "tid", "name") if hasattr(e, name)}
        return Raised(type(e).__name__, str(e), details)


def invoke(thing, method, /, *args, **kwargs):
    return getattr(thing, method)(*args, **kwargs)


def timed(thing, method, /, *args, **kwargs):
    """(what the method returned or raised, how many seconds it took)"""
    begin = time.monotonic()
    result = outcome(getattr(thing, method), *args, **kwargs)
    return result, time.monotonic() - begin


def seen(lock):
    """How a lock looks from here."""
    semlock = lock._semlock
    return repr(lock), semlock._is_mine(), semlock._count(), semlock._get_value(), semlock._is_zero()


def in_thread(function, /, *args, **kwargs):
    """Runs the function in another thread of this process and waits for it; returns its outcome."""
    results = []
    thread = threading.Thread(target=lambda: results.append(outcome(function, *args, **kwargs)), name="Side")
    thread.start()
    thread.join()
    return results[0]


def nothing(*args):
    pass


def wait_under(condition, timeout=None):
    with condition:
        return condition.wait(timeout)


def notify_under(condition, n=1):
    with condition:
        condition.notify(n)


def increment(lock, counter, times):
    """Loses counts unless the lock excludes: between load and store there is a chance to be interrupted."""
    for _ in range(times):
        with lock:
            value = counter[0]
            if value % 16 == 0:
                time.sleep(0)
            counter[0] = value + 1


def put_order(condition, order, number):
    """Waits; then writes its number behind those of the ones that were woken before."""
    with condition:
        condition.wait()
        order[0] += 1
        order[order[0]] = number


def signal_counter(signum):
    """Installs a handler that counts and does not raise."""
    global _signals
    _signals = 0

    def handler(*_):
        global _signals
        _signals += 1

    signal.signal(signum, handler)


def signals_seen():
    return _signals


def raise_on(signum):
    signal.signal(signum, _raise_interrupted)


class Interrupted(Exception):
    pass


def _raise_interrupted(*_):
    raise Interrupted


def add_one(counter):
    counter[0] += 1


def fail():
    raise ZeroDivisionError("the action failed")


def rounds(barrier, times):
    """The indices that this process got in several rounds."""
    return [barrier.wait() for _ in range(times)]


def exchange(condition, buffer, times, putting):
    """Puts or gets `times` items of a buffer with room for three. buffer: in it, put, got, sum of what was got."""
    for _ in range(times):
        with condition:
            if putting:
                condition.wait_for(lambda: buffer[0] < 3)
                buffer[0] += 1
                buffer[1] += 1
            else:
                condition.wait_for(lambda: buffer[0] > 0)
                buffer[0] -= 1
                buffer[3] += buffer[2]
                buffer[2] += 1
            condition.notify_all()


def answer(ping, pong, times):
    """Answers each ping with a pong. Returns how many there were."""
    count = 0
    while count < times and ping.wait(60):
        ping.clear()
        pong.set()
        count += 1
    return count


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
    """Starts a child, which does the same; the last one writes down whether it could acquire the lock."""
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


def kill_myself():
    os.kill(os.getpid(), signal.SIGKILL)


def when(thing, method, /, *args, **kwargs):
    """(what the method returned or raised, the time at which it did); monotonic time is the same for all processes"""
    result = outcome(getattr(thing, method), *args, **kwargs)
    return result, time.monotonic()


def poll(lock, *args):
    """Tries until the lock is acquired or raises: (outcome, time)"""
    while True:
        result, now = when(lock, "acquire", *args)
        if result != Returned(False):
            return result, now


def end_holding(lock, how):
    """Acquires, then ends this process in one of many ways."""
    lock.acquire()
    how()


def acquire_all(locks):
    for lock in locks:
        lock.acquire()


_grandchildren = []


def start_grandchild(ctx, lock):
    """Starts a process that acquires the lock and keeps it. Returns its pid once it has."""
    ours, theirs = ctx.Pipe()
    process = ctx.Process(target=serve, args=(theirs, lock))
    process.start()
    theirs.close()
    pid, _ = ours.recv()
    ours.send((invoke, [Reference(0), "acquire"], {}))
    assert ours.recv() == Returned(True)
    _grandchildren.append((process, ours))
    return pid


def reap_grandchildren():
    for process, link in _grandchildren:
        process.join()
        link.close()
    return [process.exitcode for process, link in _grandchildren]


def crash(signum):
    """Ends by a signal, without a core file and without Python's report."""
    import faulthandler
    import resource

    faulthandler.disable()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signum, signal.SIG_DFL)
    signal.raise_signal(signum)
    time.sleep(60)


def wait_rounds(condition, counter, rounds):
    """Counts its wake-ups."""
    with condition:
        for _ in range(rounds):
            condition.wait()
            counter[0] += 1


def wait_for_value(condition, cell, value):
    with condition:
        return condition.wait_for(lambda: cell[0] == value)


def wait_and_tell(condition):
    """Waits; what came of it, whether the lock is held then, and when."""
    condition.acquire()
    result, now = when(condition, "wait")
    return result, condition._lock._semlock._is_mine(), now


def wait_within(guard, condition):
    with guard:
        condition.wait()


def take(semaphore, permits):
    for _ in range(permits):
        assert semaphore.acquire(False)


def timed_wait_under(condition, timeout):
    with condition:
        return timed(condition, "wait", timeout)


def under_signals(function, /, *args):
    """Runs the function while a signal comes every millisecond, whose handler does not raise."""
    signal_counter(signal.SIGALRM)
    signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
    try:
        return function(*args)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def end_with(error):
    raise error


def hold_in_thread(lock):
    """Ends while a daemonic thread of this process is inside."""
    threading.Thread(target=lambda: lock.acquire() and time.sleep(60), daemon=True).start()
    while not lock._semlock._is_zero():
        time.sleep(0.001)


def hold_at_exit(lock, seen):
    """Uses the lock as late as a process can, and ends with it."""
    import multiprocessing.util

    def finish():
        seen[0] = lock.acquire(False)

    multiprocessing.util.Finalize(None, finish, exitpriority=-100)


def hold_and_exec(lock, *command):
    lock.acquire()
    os.execv(command[0], command)


def fork_and_hold(lock, end):
    """A child by os.fork(), without multiprocessing's bootstrap. Returns its exit status."""
    pid = os.fork()
    if pid == 0:
        lock.acquire()
        end()
        os._exit(99)
    return os.waitpid(pid, 0)[1]


def hold_and_sleep(lock):
    lock.acquire()
    time.sleep(60)


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


def acquire_and_die(locks):
    acquire_all(locks)
    os._exit(0)


_many = []


def make_many(count):
    import mpfast

    _many.extend(mpfast.Lock() for _ in range(count))


def _links():
    for fd in os.listdir("/proc/self/fd"):
        try:
            yield os.readlink(f"/proc/self/fd/{fd}")
        except FileNotFoundError:
            pass


def family_descriptors():
    return sum("memfd:mpfast" in link for link in _links())


def descriptors_of_a_program():
    import subprocess

    output = subprocess.check_output(["ls", "-l", "/proc/self/fd"], text=True, close_fds=False)
    return [line for line in output.splitlines() if "memfd" in line]


def add_generation(ctx, locks, seen, generations):
    """Starts a child with one lock more. The last one counts those that can be taken, all held by nobody."""
    import mpfast

    locks = [*locks, mpfast.Lock()]
    if generations == 1:
        seen[0] = sum(lock.acquire(False) for lock in locks)
        return
    process = ctx.Process(target=add_generation, args=(ctx, locks, seen, generations - 1))
    process.start()
    process.join()
    assert process.exitcode == 0


def look_and_wait(lock, seen):
    seen[0] = lock._semlock._is_mine()
    seen[1] = lock.acquire(timeout=0.1)
