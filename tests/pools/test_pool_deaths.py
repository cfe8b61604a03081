# SPDX-License-Identifier: MIT
"""Workers that die, in mpfast's own pools. One element is lost, the others come, and nothing is run twice.

In multiprocessing the caller waits for ever.
"""

import collections
import os
import signal
import threading
from concurrent.futures.process import BrokenProcessPool

import abilities
import pooled
import pytest
from harness import PATIENCE, Thread, thread_state, until

import mpfast

pytestmark = abilities.deaths
ENDS = {"kill": ("SIGKILL", -signal.SIGKILL), "exit": ("7", 7), "leave": ("8", 8)}
HOW = pytest.mark.parametrize("how", ENDS)


@pytest.fixture
def mp():
    return mpfast


@pytest.fixture(params=["with a pool", "with a pool of one"])
def goes_on(request, make_pool):
    """A pool that must work as before when the test is over."""
    pool = make_pool(1 if "one" in request.param else 2)
    size = len(pool._pool)
    yield pool
    assert pool.map(pooled.square, range(100)) == [n * n for n in range(100)]
    until(lambda: len(pool._pool) == size and all(w.is_alive() for w in pool._pool), "all workers are there again")
    assert not pool._cache


def check(error, how="kill"):
    text, exitcode = ENDS[how]
    assert isinstance(error, mpfast.WorkerDied)
    assert error.exitcode == exitcode
    for part in (str(error.pid), text, "die"):
        assert part.lower() in str(error).lower()


def test_the_class():
    assert issubclass(mpfast.WorkerDied, BrokenProcessPool)
    assert issubclass(mpfast.WorkerDied, mpfast.ProcessError)


def test_an_error_of_death_travels(make_pool):
    """From one pool to another: it can be pickled."""
    pool = make_pool(1)
    with pytest.raises(mpfast.WorkerDied) as raised:
        pool.apply(pooled.die)
    error = pool.apply(pooled.same, (raised.value,))
    assert (error.pid, error.exitcode, str(error)) == (raised.value.pid, -9, str(raised.value))


@HOW
def test_a_single_task(goes_on, how):
    pids = {worker.pid for worker in goes_on._pool}
    for _ in range(2):
        with pytest.raises(mpfast.WorkerDied) as raised:
            goes_on.apply(pooled.die, (how,))
        check(raised.value, how)
    assert goes_on.apply(pooled.square, (3,)) == 9
    assert pids != {worker.pid for worker in goes_on._pool}


@pytest.mark.parametrize("chunksize", [None, 1, 3])
def test_arguments_that_kill_the_worker_that_loads_them(goes_on, chunksize):
    """Each such death costs an element, so it does not go on for ever."""
    with pytest.raises(mpfast.WorkerDied):
        goes_on.apply_async(pooled.same, (pooled.DiesWhenLoaded(),)).get(PATIENCE)
    with pytest.raises(mpfast.WorkerDied) as caught:
        goes_on.map_async(pooled.same, [1, pooled.DiesWhenLoaded(), 3], chunksize).get(PATIENCE)
    assert caught.value.exitcode == 7


@HOW
def test_an_asynchronous_call(goes_on, how):
    """Its callback for errors is told. The calls before and after it are not touched."""
    told = []
    before = [goes_on.apply_async(pooled.square, (n,)) for n in range(20)]
    result = goes_on.apply_async(pooled.die, (how,), error_callback=told.append)
    after = [goes_on.apply_async(pooled.square, (n,)) for n in range(20)]
    result.wait(PATIENCE)
    assert result.successful() is False
    check(told[0], how)
    assert [other.get(PATIENCE) for other in before + after] == [n * n for n in range(20)] * 2
    with pytest.raises(mpfast.WorkerDied):
        result.get(0)
    assert len(told) == 1


@pytest.mark.parametrize("chunksize", [1, 5, None])
def test_a_map(ctx, make_pool, chunksize):
    """Raises the death. By then every other element has been run, once."""
    runs = ctx.RawArray("q", 100)
    pool = make_pool(2, pooled.keep, (runs,))
    with pytest.raises(mpfast.WorkerDied) as raised:
        pool.map(pooled.count_or_die, range(100), chunksize)
    assert "count_or_die" in str(raised.value)
    assert list(runs) == [1] * 100


@HOW
def test_imap(goes_on, how):
    """Only the element that died has no result, at its place."""
    found = pooled.outcomes(goes_on.imap(pooled.Dier(how), [1, 2, 0, 3, 4, 0, 5]), mpfast.WorkerDied)
    assert [found[n] for n in (0, 1, 3, 4, 6)] == [1, 2, 3, 4, 5]
    check(found[2], how)
    check(found[5], how)
    assert found[2].pid != found[5].pid


def test_imap_unordered(goes_on):
    found = pooled.outcomes(goes_on.imap_unordered(pooled.die_if_zero, list(range(50)) * 2), mpfast.WorkerDied)
    died = [error for error in found if isinstance(error, mpfast.WorkerDied)]
    assert len(died) == 2
    assert collections.Counter(n for n in found if isinstance(n, int)) == dict.fromkeys(range(1, 50), 2)


def test_many_deaths(ctx, make_pool):
    """One of two elements dies."""
    pool = make_pool(2)
    results = [pool.apply_async(pooled.die_if_zero, (n % 2,)) for n in range(40)]
    for number, result in enumerate(results):
        if number % 2:
            assert result.get(PATIENCE) == 1
        else:
            with pytest.raises(mpfast.WorkerDied):
                result.get(PATIENCE)


def test_idle_workers(goes_on):
    """Cost nobody anything."""
    for _ in range(3):
        assert goes_on.apply(pooled.square, (3,)) == 9
        for worker in list(goes_on._pool):
            worker.kill()
            until(lambda pid=worker.pid: thread_state(pid, pid) in ("", "Z"), "it takes no task any more")
        assert goes_on.map(pooled.square, range(20)) == [n * n for n in range(20)]


def test_busy_workers(held, gate):
    """Die of a signal from outside. The next tasks are run by their replacements."""
    results = [held.apply_async(pooled.hold, (n,)) for n in range(4)]
    gate.wait(2)
    pids = {worker.pid for worker in held._pool}
    for worker in list(held._pool):
        worker.kill()
    for result in results[:2]:
        with pytest.raises(mpfast.WorkerDied) as raised:
            result.get(PATIENCE)
        assert raised.value.pid in pids
        assert "hold" in str(raised.value)
    gate.wait(2)
    gate.open(2)
    assert [result.get(PATIENCE) for result in results[2:]] == [2, 3]


def test_a_worker_that_hangs(held, gate):
    """Keeps its element. The rest of its group goes to the others."""
    iterator = held.imap_unordered(pooled.hold_zero, range(200))
    gate.wait()
    assert sorted(next(iterator) for _ in range(199)) == list(range(1, 200))
    gate.open()
    assert list(iterator) == [0]


def test_a_stopped_worker(make_pool):
    """Delays what it runs at most. It goes on later, and nothing is done twice."""
    pool = make_pool(2)
    stopped = pool._pool[0]
    os.kill(stopped.pid, signal.SIGSTOP)
    try:
        iterator = pool.imap_unordered(pooled.same, range(500))
        found = [next(iterator) for _ in range(499)]
    finally:
        os.kill(stopped.pid, signal.SIGCONT)
    assert sorted([*found, *iterator]) == list(range(500))


def test_a_waiter_sees_a_death(held, gate):
    """Each thread that waits gets its own outcome."""
    results = [held.apply_async(pooled.hold, (n,)) for n in range(2)]
    gate.wait(2)
    waiters = [Thread(result.get).asleep() for result in results]
    for worker in list(held._pool):
        worker.kill()
    for waiter in waiters:
        with pytest.raises(mpfast.WorkerDied):
            waiter.result()


def test_close_and_join_after_deaths(ctx):
    pool = ctx.Pool(2)
    results = [pool.apply_async(pooled.die_if_zero, (n % 5,)) for n in range(50)]
    pool.close()
    pool.join()
    assert sum(result.successful() for result in results) == 40
    assert not pool._cache


def test_a_task_that_forks_and_dies(make_pool):
    """A child that comes back into the worker's loop ends quietly. It gives no second result."""
    pool = make_pool(1)
    pids = pool.map(pooled.fork_once, range(5), 1)
    assert set(pids) == {pool._pool[0].pid}
    assert pool.apply(pooled.square, (3,)) == 9


def test_key_interrupts_of_a_task(goes_on):
    """Are the task's error."""
    with pytest.raises(KeyboardInterrupt):
        goes_on.apply(pooled.throw, (KeyboardInterrupt(),))


def test_the_pool_in_a_forked_child(pool):
    """Says whose it is."""
    assert pool.apply(pooled.square, (3,)) == 9
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            pool.apply(pooled.square, (3,))
        except RuntimeError as error:
            os.write(writer, str(error).encode())
        finally:
            os._exit(0)
    os.close(writer)
    said = os.read(reader, 1000).decode()
    os.close(reader)
    assert os.waitpid(pid, 0)[1] == 0
    assert f"belongs to process {os.getpid()}" in said
    assert pool.apply(pooled.square, (4,)) == 16


def in_a_forked_child(call):
    """What it does there, in a word: the name of an exception, or "" if it returns."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            call()
        except BaseException as error:
            os.write(writer, type(error).__name__.encode())
        finally:
            os._exit(0)
    os.close(writer)
    said = os.read(reader, 1000).decode()
    os.close(reader)
    assert os.waitpid(pid, 0)[1] == 0
    return said


@pytest.mark.parametrize("way", ["close", "terminate", "join", "imap", "drop"])
def test_a_forked_child_does_not_end_the_pool(pool, way):
    calls = {
        "drop": lambda: pool.__del__(),
        "imap": lambda: pool.imap(pooled.square, [3]),
    }
    said = in_a_forked_child(calls.get(way) or getattr(pool, way))
    assert said == ("" if way in ("terminate", "drop") else "RuntimeError")
    assert pool.map_async(pooled.square, range(50), 1).get(PATIENCE) == [n * n for n in range(50)]


def test_a_forked_child_takes_no_results(held, gate):
    """It is told what was known when it was forked, or an error, and its parent gets everything."""
    results = [held.apply_async(pooled.square, (n,)) for n in range(5)]
    iterator = held.imap(pooled.square, range(5), buffersize=1)
    for call in (results[0].ready, results[0].wait, results[1].get, iterator.next, held._repopulate_pool):
        in_a_forked_child(call)
    assert [result.get(PATIENCE) for result in results] == [0, 1, 4, 9, 16]
    assert [iterator.next(PATIENCE) for _ in range(5)] == [0, 1, 4, 9, 16]


@abilities.executor
@pytest.mark.parametrize(
    "way", ["drop", "shutdown", "kill_workers", "submit", "map", "cancel", "done", "result", "repr"]
)
def test_a_forked_child_does_not_end_the_executor(make_executor, gate, way):
    executor = make_executor(1, initializer=pooled.keep, initargs=(gate,))
    held = executor.submit(pooled.hold, 5)
    gate.wait()
    waiting = executor.submit(pooled.square, 3)
    calls = {
        "drop": lambda: executor._finalizer(),
        "submit": lambda: executor.submit(pooled.square, 3),
        "map": lambda: executor.map(pooled.square, [3]),
        "repr": lambda: repr(waiting),
    }
    said = in_a_forked_child(calls.get(way) or getattr(executor, way, None) or getattr(waiting, way))
    assert said == ("" if way in ("drop", "shutdown", "done", "repr") else "RuntimeError")
    gate.open()
    assert (held.result(PATIENCE), waiting.result(PATIENCE)) == (5, 9)
    assert executor.submit(pooled.square, 4).result(PATIENCE) == 16


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_callback_that_fails(pool):
    """Does not stop the others."""
    got = []
    first = pool.apply_async(pooled.square, (3,), callback=pooled.fail)
    second = pool.apply_async(pooled.square, (4,), callback=got.append)
    assert second.get(PATIENCE) == 16
    assert got == [16]
    first.wait(PATIENCE)
    assert first.ready()


# Initializers --------------------------------------------------------------------------------------------------------


@abilities.broken
def test_an_initializer_that_raises(make_pool):
    """Breaks the pool after a few tries. Every call says why."""
    pool = make_pool(2, pooled.fail_to_begin, ("for a reason",))
    results = [pool.apply_async(pooled.square, (n,)) for n in range(5)]
    for result in results:
        with pytest.raises(mpfast.BrokenPool) as raised:
            result.get(PATIENCE)
        said = f"{raised.value} {raised.value.__cause__}"
        for part in ("for a reason", "in fail_to_begin", "ZeroDivisionError"):
            assert part in said
    for call in (pool.apply, pool.map):
        with pytest.raises(mpfast.BrokenPool):
            call(pooled.square, [3])
    for call in (pool.imap, pool.imap_unordered):
        with pytest.raises(mpfast.BrokenPool):
            list(call(pooled.square, iter([3])))


@abilities.broken
@pytest.mark.parametrize("way", ["imap", "imap_unordered"])
def test_an_input_that_is_read_when_the_pool_breaks(ctx, make_pool, way):
    """Nobody takes the results that are there for all."""
    value, gate = ctx.Value("q", 0), threading.Event()
    pool = make_pool(1, pooled.begin_once, (value,))

    def numbers():
        yield 3
        gate.wait(PATIENCE)
        yield 4

    iterator = getattr(pool, way)(pooled.square, numbers())
    assert next(iterator) == 9
    os.kill(pool._pool[0].pid, signal.SIGKILL)
    with pytest.raises(mpfast.BrokenPool):
        pool.apply_async(pooled.square, (5,)).get(PATIENCE)
    gate.set()
    with pytest.raises(mpfast.BrokenPool):
        next(iterator)
    assert list(iterator) == []


@abilities.broken
@HOW
def test_an_initializer_that_dies(make_pool, how):
    pool = make_pool(2, pooled.die, (how,))
    with pytest.raises(mpfast.BrokenPool) as raised:
        pool.map(pooled.square, range(5))
    assert ENDS[how][0] in f"{raised.value} {raised.value.__cause__}"


@abilities.broken
def test_an_initializer_that_fails_now_and_then(ctx, make_pool):
    """Is tried again, and the pool is whole."""
    value = ctx.Value("q", 0)
    pool = make_pool(2, pooled.fail_first, (value,))
    assert pool.map(pooled.square, range(50), 1) == [n * n for n in range(50)]
    until(lambda: pool.apply(pooled.square, (2,)) == 4 and value.value >= 3, "the third worker has begun")


# What comes first ----------------------------------------------------------------------------------------------------


class SlowStart:
    """Lets the starts of a pool's workers wait until it is told to go on."""

    def __init__(self, crew):
        self.gate, self.starter = threading.Event(), crew.starter
        self.start, self.starter.start = self.starter.start, self
        self.hung = False

    def __call__(self, *args):
        self.hung |= not self.gate.wait(PATIENCE)
        return self.start(*args)

    def go_on(self):
        assert not self.hung
        self.gate.set()


@abilities.executor
def test_the_error_does_not_wait_for_the_replacement(make_executor):
    """Nor does the next call wait, which another worker can run."""
    executor = make_executor(2)
    list(executor.map(pooled.square, range(10)))
    slow = SlowStart(executor._staff.crew)
    check(executor.submit(pooled.die).exception(PATIENCE))
    assert executor.submit(pooled.square, 3).result(PATIENCE) == 9
    slow.go_on()
    until(lambda: len(executor._processes) == 2, "both workers are there again")


def test_a_pool_whose_thread_is_busy(make_pool):
    """A caller starts the replacement, if the pool's thread runs a callback that takes its time."""
    pool, inside, gate = make_pool(1), threading.Event(), threading.Event()

    def hold(_):
        inside.set()
        gate.wait(PATIENCE)

    held = pool.apply_async(pooled.square, (2,), callback=hold)
    assert inside.wait(PATIENCE)
    for _ in range(2):
        with pytest.raises(mpfast.WorkerDied):
            pool.apply(pooled.die)
        assert pool.apply(pooled.square, (3,)) == 9
    assert not held.ready()
    gate.set()
    assert held.get(PATIENCE) == 4


def test_the_places_of_workers(pool):
    """Are given once each, and no more of them than there are to be workers."""
    numbers = {0: "one", 2: "two"}
    taken = [pool._desk.take_place(numbers, name, 4) for name in ("three", "four", "five")]
    assert taken == [1, 3, -1]
    assert numbers == {0: "one", 2: "two", 1: "three", 3: "four"}
