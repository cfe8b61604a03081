# SPDX-License-Identifier: MIT
"""What the workers of pools and executors run, and the gate at which a test holds them."""

import os
import signal
import sys
import time

PATIENCE = float(os.environ.get("MPFAST_TEST_PATIENCE", "20"))


class Gate:
    """Tasks tell that they have begun, and wait until the test lets them go on.

    Both ways are semaphores. In multiprocessing an event whose waiter is killed would stop the next set().
    """

    def __init__(self, ctx):
        self.begun, self.permits = ctx.Semaphore(0), ctx.Semaphore(0)

    def wait(self, tasks=1):
        """Blocks until so many more tasks have begun."""
        for _ in range(tasks):
            assert self.begun.acquire(timeout=PATIENCE), "a task does not begin"

    def open(self, tasks=1):
        for _ in range(tasks):
            self.permits.release()

    def both_work(self, submit):
        """Two tasks meet at the gate, so two workers have been started."""
        futures = [submit(hold) for _ in range(2)]
        self.wait(2)
        self.open(2)
        assert [future.result(PATIENCE) for future in futures] == [None, None]

    def enter(self):
        """In a task."""
        self.begun.release()
        assert self.permits.acquire(timeout=PATIENCE), "the test does not open the gate"


_kept = ()


def keep(*things):
    """An initializer."""
    global _kept
    _kept = things


def keep_and_count(value):
    """An initializer that tells how often it was called."""
    keep(value)
    with value.get_lock():
        value.value += 1


def get_kept(_=None):
    return _kept


def names_kept(_=None):
    """The keys of the dict that was kept."""
    return list(_kept[0])


# Tasks that return ---------------------------------------------------------------------------------------------------


def same(thing):
    return thing


def square(number):
    return number * number


def add(one, other=0):
    return one + other


def arguments(*args, **kwargs):
    return args, kwargs


def pid(_=None):
    return os.getpid()


def pid_after(seconds):
    time.sleep(seconds)
    return os.getpid()


def identity(thing):
    """Two objects that are alive at the same time differ in it."""
    return id(thing)


def same_objects(one, other):
    return one is other


def size(thing):
    return len(thing)


def add_size(thing, number):
    return len(thing) + number


def append_one(things):
    things.append(1)
    return things


def say(conn, word):
    conn.send(word)
    conn.close()


def say_hello(conn):
    say(conn, "hello")


def first_byte(name):
    from multiprocessing import resource_tracker, shared_memory

    register = resource_tracker.register
    resource_tracker.register = lambda *_: None  # else the tracker of this process takes it away, before 3.13
    try:
        memory = shared_memory.SharedMemory(name)
    finally:
        resource_tracker.register = register
    found = memory.buf[0]
    memory.close()
    return found


def zeros(count):
    return bytes(count)


_shared = ["made once in each worker"]


def shared(_):
    return _shared


def process(_=None):
    import multiprocessing

    me = multiprocessing.current_process()
    return me.name, me.daemon, os.getpid(), os.getppid()


def parent(_=None):
    import multiprocessing

    return multiprocessing.parent_process().pid


def start_method(_=None):
    """Of the worker itself, by the class of its process."""
    import multiprocessing

    return multiprocessing.current_process()._start_method


def count(number):
    """Adds one to the value that was kept, and returns its argument."""
    value = _kept[0]
    with value.get_lock():
        value.value += 1
    return number


def count_even(number):
    count(number)
    return fail_if_odd(number)


def count_in(number):
    """Counts how often each number was run, in the array that was kept."""
    _kept[0][number] += 1
    return number


def count_for(number, seconds):
    """The same, and takes so long."""
    count_in(number)
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        pass
    return number


def call(function):
    return function()


def put_kept(thing):
    """Puts it into the queue that was kept behind the gate."""
    _kept[1].put(thing)


# Tasks that wait -----------------------------------------------------------------------------------------------------


def hold(thing=None):
    _kept[0].enter()
    return thing


def wait_for(seconds):
    time.sleep(seconds)
    return seconds


def hold_zero(number):
    """Holds the one whose number is 0."""
    return hold(number) if number == 0 else number


def hold_all_but_zero(number):
    return hold(number) if number else 0


def hold_99(number):
    return hold(number) if number == 99 else number


def meet(number):
    """Waits until the neighbour has begun, by the array that was kept."""
    flags = _kept[0]
    flags[number] = 1
    end = time.monotonic() + PATIENCE
    while not flags[number ^ 1]:
        if time.monotonic() > end:
            raise TimeoutError(number)
        time.sleep(0.0001)
    return number


def spin(seconds):
    """Is busy for so long."""
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        pass
    return seconds


def hold_zero_or_fail(number):
    """0 waits, the others fail at once."""
    if number:
        raise ValueError(number)
    return hold(number)


def hold_then_fail(number):
    hold()
    raise ValueError(number)


def fail_late(number):
    """0 fails when the gate opens, the others at once."""
    hold_zero(number)
    raise ValueError(number)


# Tasks that raise ----------------------------------------------------------------------------------------------------


def fail(*args):
    raise ZeroDivisionError(*args)


def throw(error):
    raise error


def fail_if_odd(number):
    if number % 2:
        raise ValueError(number)
    return number


def fail_from(text):
    try:
        raise KeyError("the first")
    except KeyError as error:
        raise ValueError(text) from error


def leave(code=None):
    sys.exit(code)


class Refuses:
    """Cannot be pickled."""

    def __reduce__(self):
        raise RuntimeError("this one stays here")

    def __repr__(self):
        return "<Refuses>"


class Spoilt:
    """Can be pickled, but not unpickled."""

    def __reduce__(self):
        return spoil, ()


def spoil():
    raise RuntimeError("spoilt on the way")


class Awkward(Exception):
    """Its arguments are not those of its constructor, so it cannot be unpickled."""

    def __init__(self, one, other):
        super().__init__(f"{one} and {other}")


def refuse(_=None):
    return Refuses()


def refuse_odd(number):
    return Refuses() if number % 2 else number


def raise_refused(_=None):
    raise ValueError(Refuses())


def raise_awkward(_=None):
    raise Awkward(1, 2)


def give_spoilt(_=None):
    return Spoilt()


class Thing:
    """Can be referred to weakly."""


def spoilt_if_odd(number):
    return Spoilt() if number % 2 else number


def make_thing(_=None):
    return Thing()


class Adder:
    """A function with a state."""

    def __init__(self, number):
        self.number = number

    def __call__(self, other):
        return self.number + other

    def method(self, other):
        return self.number - other


# Ends ----------------------------------------------------------------------------------------------------------------


def die(how="kill"):
    """Ends this worker."""
    if how == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    elif how == "exit":
        os._exit(7)
    elif how == "leave":
        sys.exit(8)
    time.sleep(60)


def outcomes(iterator, errors):
    """Results, and exceptions of that kind, until the end of an imap()."""
    found = []
    while True:
        try:
            found.append(iterator.next(PATIENCE))
        except StopIteration:
            return found
        except errors as error:
            found.append(error)


class DiesWhenLoaded:
    """A worker that unpickles it ends with exit code 7."""

    def __reduce__(self):
        return os._exit, (7,)


def nothing():
    return None


def kill_with_state(_state):
    die()


def die_at_the_gate(how):
    """At the second one that was kept."""
    _kept[1].enter()
    die(how)


def die_if_zero(number, how="kill"):
    if number == 0:
        die(how)
    return number


class Dier:
    """die_if_zero() in a way of its own."""

    def __init__(self, how):
        self.how = how

    def __call__(self, number):
        return die_if_zero(number, self.how)

    def __repr__(self):
        return f"<die_if_zero by {self.how}>"


def fail_first(value):
    """An initializer that fails in the first worker."""
    with value.get_lock():
        value.value += 1
        first = value.value == 1
    if first:
        raise ZeroDivisionError("the first")


def fail_but_first(value):
    """An initializer that fails in all workers but the first."""
    with value.get_lock():
        value.value += 1
        first = value.value == 1
    if not first:
        raise ZeroDivisionError("not the first")


def count_or_die(number):
    """Counts how often each number was run, in the array that was kept. 0 dies."""
    _kept[0][number] += 1
    return die_if_zero(number)


def die_once(number):
    """Dies the first time, by the flag that was kept."""
    value = _kept[0]
    with value.get_lock():
        value.value += 1
        first = value.value == 1
    if first:
        die()
    return number


def die_the_first_time(number):
    """Each fourth number dies when it is run for the first time, by the array that was kept."""
    _kept[0][number] += 1
    if number % 4 == 0 and _kept[0][number] == 1:
        die()
    return number


class Endless:
    """Cannot be unpickled in any time."""

    def __reduce__(self):
        return time.sleep, (10 * PATIENCE,)


def fail_to_begin(text="cannot begin"):
    raise ZeroDivisionError(text)


def begin_once(value):
    with value.get_lock():
        value.value += 1
        if value.value > 1:
            raise ZeroDivisionError("only once")


# Pools in workers ----------------------------------------------------------------------------------------------------


def use_a_pool(package, method):
    """What a pool of this process gives, or the name of the error."""
    import importlib

    try:
        with importlib.import_module(package).get_context(method).Pool(1) as pool:
            return pool.map(square, range(3))
    except AssertionError as error:
        return str(error)


def fork_once(_=None):
    """Forks by hand in the middle of a task. The child comes back into the worker's loop. Returns the parent's pid."""
    os.fork()
    return os.getpid()


def fork_and_wait(code):
    """A child that ends inside the task. Returns its exit code."""
    pid = os.fork()
    if pid == 0:
        os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


# Interrupts, and code that pickling runs -----------------------------------------------------------------------------


class Interrupts:
    """Raises KeyboardInterrupt the first time that it is pickled, as a signal's handler would."""

    def __init__(self):
        self.pickled = 0

    def __reduce__(self):
        self.pickled += 1
        if self.pickled == 1:
            raise KeyboardInterrupt
        return int, (7,)


class Calls:
    """Calls `function` in the process that unpickles it, if that is the one with `here`. Comes as the result of it."""

    here = None

    def __init__(self, number=0):
        self.number = number

    def __reduce__(self):
        return called, (self.number,)


def called(number):
    return Calls.here(number) if Calls.here is not None else Calls(number)


def make_calls(number):
    return Calls(number)


def die_or_make_calls(number):
    return die() if number == 3 else Calls(number)


class NoRepr:
    """A function that dies, and has no name."""

    def __call__(self):
        die("exit")

    def __repr__(self):
        raise ValueError("no repr")


def some_then(error):
    yield from range(100)
    raise error


def on_sigterm():
    """How SIGTERM is handled, and by what descriptor signals wake this process."""
    return signal.getsignal(signal.SIGTERM), signal.set_wakeup_fd(-1)


# Names that change ---------------------------------------------------------------------------------------------------


def renamed(number):
    return number


def rename():
    """From now on the name above means another function in this process."""
    globals()["renamed"] = square
