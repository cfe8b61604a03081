# SPDX-License-Identifier: MIT
"""What runs in children: top-level functions, so that a spawned child finds them by name.

Keep the imports few: every spawned child pays for them.
"""

import os
import signal
import threading
import time
from multiprocessing import ProcessError
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


def when(thing, method, /, *args, **kwargs):
    """(what the method returned or raised, the time at which it did). Monotonic time is the same for all processes."""
    result = outcome(getattr(thing, method), *args, **kwargs)
    return result, time.monotonic()


def poll(lock, *args):
    """Tries until the lock is acquired or raises: (outcome, time)"""
    while True:
        result, now = when(lock, "acquire", *args)
        if result != Returned(False):
            return result, now


def wait_for_value(condition, cell, value):
    """Told of a holder's death, it tries again, because another process recovers the lock."""
    while True:
        try:
            with condition:
                return condition.wait_for(lambda: cell[0] == value)
        except ProcessError:
            pass


def wait_and_tell(condition):
    """Waits. Returns what came of it, whether the lock is held then, and when."""
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
    """Runs the function while a signal comes every millisecond. Its handler does not raise."""
    signal_counter(signal.SIGALRM)
    signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
    try:
        return function(*args)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def look_and_wait(lock, seen):
    seen[0] = lock._semlock._is_mine()
    seen[1] = lock.acquire(timeout=0.1)
