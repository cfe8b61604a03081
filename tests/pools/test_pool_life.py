# SPDX-License-Identifier: MIT
"""A pool from its constructor to its end, and its workers."""

import copy
import gc
import multiprocessing
import multiprocessing.pool
import os
import pickle
import re
import signal
import threading
import weakref

import pooled
import pytest
import workers
from harness import PATIENCE, Thread, exit_code, run_process, until, wait_asleep

CALLS = {
    "apply": lambda pool: pool.apply(pooled.square, (3,)),
    "apply_async": lambda pool: pool.apply_async(pooled.square, (3,)),
    "map": lambda pool: pool.map(pooled.square, []),
    "map_async": lambda pool: pool.map_async(pooled.square, [3]),
    "starmap": lambda pool: pool.starmap(pooled.add, [(3,)]),
    "starmap_async": lambda pool: pool.starmap_async(pooled.add, [(3,)]),
    "imap": lambda pool: pool.imap(pooled.square, [3]),
    "imap, chunks": lambda pool: pool.imap(pooled.square, [3], 2),
    "imap_unordered": lambda pool: pool.imap_unordered(pooled.square, [3]),
    "imap_unordered, chunks": lambda pool: pool.imap_unordered(pooled.square, [3], 2),
    "with": lambda pool: pool.__enter__(),
}


# Constructor ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ({"processes": 0}, ValueError, "^Number of processes must be at least 1$"),
        ({"processes": -2}, ValueError, "^Number of processes must be at least 1$"),
        ({"processes": "2"}, TypeError, "int"),
        ({"processes": 1.5}, TypeError, "int"),
        ({"initializer": 5}, TypeError, "^initializer must be a callable$"),
        ({"initializer": "keep"}, TypeError, "^initializer must be a callable$"),
        ({"maxtasksperchild": 0}, ValueError, "^maxtasksperchild must be a positive int or None$"),
        ({"maxtasksperchild": -1}, ValueError, "^maxtasksperchild must be a positive int or None$"),
        ({"maxtasksperchild": 1.5}, ValueError, "^maxtasksperchild must be a positive int or None$"),
        ({"maxtasksperchild": "1"}, ValueError, "^maxtasksperchild must be a positive int or None$"),
        ({"made_up": 1}, TypeError, "unexpected keyword argument"),
    ],
)
def test_wrong_arguments(ctx, arguments, error, text):
    with pytest.raises(error, match=text):
        ctx.Pool(**{"processes": 1} | arguments)


def test_as_many_workers_as_cpus(ctx):
    with ctx.Pool() as pool:
        assert len(pool._pool) == getattr(os, "process_cpu_count", os.cpu_count)()
        pool.terminate()
        pool.join()


def test_the_class_takes_a_context(pools, ctx, method):
    with pools.Pool(1, context=ctx) as pool:
        assert pool.apply(pooled.start_method) == method
        assert type(pool._ctx) is type(ctx)
        pool.terminate()
        pool.join()


def test_types(pools, pool):
    assert isinstance(pool, pools.Pool)
    assert isinstance(pool, multiprocessing.pool.Pool)


def test_an_initializer(make_pool):
    pool = make_pool(2, pooled.keep, ("one", "two"))
    assert set(pool.map(pooled.get_kept, range(20), 1)) == {("one", "two")}
    pool = make_pool(processes=1, initializer=pooled.keep, initargs=["three"])
    assert pool.apply(pooled.get_kept) == ("three",)


@pytest.mark.parametrize("initargs", [None, 5])
def test_arguments_without_an_initializer_are_not_looked_at(make_pool, initargs):
    assert make_pool(1, None, initargs).apply_async(pooled.square, (3,)).get(PATIENCE) == 9


def test_each_worker_is_initialized_once(ctx, make_pool):
    counter = ctx.Value("q", 0)
    pool = make_pool(3, pooled.keep_and_count, (counter,))
    assert pool.map(pooled.square, range(30), 1) == [n * n for n in range(30)]
    until(lambda: counter.value == 3, "three are there")


# States --------------------------------------------------------------------------------------------------------------


def test_repr(pools, make_pool):
    name = f"{pools.__name__}.Pool"
    pool, other = make_pool(2), make_pool(3)
    assert repr(pool) == f"<{name} state=RUN pool_size=2>"
    pool.close()
    assert re.fullmatch(f"<{name} state=CLOSE pool_size=[012]>", repr(pool))
    other.terminate()
    assert repr(other).startswith(f"<{name} state=TERMINATE pool_size=")


@pytest.mark.parametrize("end", ["close", "terminate", "close and join"])
def test_after_the_end(pool, end):
    for step in end.split(" and "):
        getattr(pool, step)()
    for call in CALLS.values():
        with pytest.raises(ValueError, match="^Pool not running$"):
            call(pool)
    assert not pool._cache


def test_an_input_is_not_read_after_the_end(pool):
    pool.close()
    numbers = iter([1])
    for call in (pool.map, pool.map_async, pool.imap, pool.starmap):
        with pytest.raises(ValueError, match="^Pool not running$"):
            call(pooled.square, numbers)
    assert next(numbers) == 1


def test_join_of_a_running_pool(pool):
    with pytest.raises(ValueError, match="^Pool is still running$"):
        pool.join()
    assert pool.apply(pooled.square, (3,)) == 9


def test_ends_again(make_pool):
    pool = make_pool()
    for _ in range(2):
        pool.close()
        assert pool._state == "CLOSE"
    for _ in range(2):
        pool.join()
    for _ in range(2):
        pool.terminate()
        assert pool._state == "TERMINATE"
        pool.join()
    pool.close()
    assert pool._state == "TERMINATE"


def test_close_lets_the_rest_be_done(held, gate):
    results = [held.apply_async(pooled.hold, (n,)) for n in range(4)]
    many = held.map_async(pooled.square, range(100), 3)
    gate.wait(2)
    held.close()
    joining = Thread(held.join).asleep()
    gate.open(4)
    joining.result()
    assert [result.get(0) for result in results] == [0, 1, 2, 3]
    assert many.get(0) == [n * n for n in range(100)]
    assert not held._cache


def test_workers_end_well(make_pool):
    pool = make_pool(3)
    processes = list(pool._pool)
    assert pool.map(pooled.square, range(9)) == [n * n for n in range(9)]
    pool.close()
    pool.join()
    assert [process.exitcode for process in processes] == [0, 0, 0]


def test_terminate(mp, held, gate):
    """What is not done by then never will be. Its results say so for ever."""
    processes = list(held._pool)
    done = held.apply_async(pooled.square, (3,))
    assert done.get(PATIENCE) == 9
    results = [held.apply_async(pooled.hold), held.map_async(pooled.hold, range(9))]
    iterator = held.imap(pooled.hold, range(9))
    gate.wait(2)
    held.terminate()
    held.join()
    assert not any(process.is_alive() for process in processes)
    assert [process.exitcode for process in processes] == [-signal.SIGTERM] * 2
    for result in results:
        assert not result.ready()
        with pytest.raises(mp.TimeoutError):
            result.get(0)
    with pytest.raises(mp.TimeoutError):
        iterator.next(0)
    assert done.get(0) == 9


def test_with(ctx, gate):
    """Leaving the block terminates, whether there was an error or not."""
    for error in (None, ZeroDivisionError("left")):
        try:
            with ctx.Pool(2, pooled.keep, (gate,)) as pool:
                assert pool.apply(pooled.square, (3,)) == 9
                result = pool.apply_async(pooled.hold)
                gate.wait()
                if error:
                    raise error
        except ZeroDivisionError as raised:
            assert raised is error  # noqa: PT017
        assert pool._state == "TERMINATE"
        assert not result.ready()
        pool.join()


def test_the_end_from_another_thread(make_pool):
    pool = make_pool()
    result = pool.map_async(pooled.square, range(50), 1)
    Thread(pool.close).result()
    Thread(pool.join).result()
    assert result.get(0) == [n * n for n in range(50)]


def test_terminate_while_others_wait(held, gate):
    """They wait on, and a timeout ends it."""
    result = held.apply_async(pooled.hold)
    gate.wait()
    waiting = Thread(result.wait, 0.5).asleep()
    held.terminate()
    assert waiting.result() is None
    assert not result.ready()


@pytest.mark.parametrize("call", ["apply_async", "imap"])
def test_terminate_while_others_join(held, gate, call):
    result = getattr(held, call)(pooled.hold, (3,))
    gate.wait()
    held.close()
    waiting = [Thread(held.join).asleep() for _ in range(2)]
    held.terminate()
    for thread in waiting:
        thread.result()
    del result


def test_a_pool_cannot_be_pickled(pool):
    text = "^pool objects cannot be passed between processes or pickled$"
    for copy_it in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(NotImplementedError, match=text):
            copy_it(pool)
    with pytest.raises(NotImplementedError, match=text.removesuffix("$")):
        pool.apply(pooled.same, (pool,))
    assert pool.apply(pooled.square, (3,)) == 9


# An object that nobody has any more ----------------------------------------------------------------------------------


def test_a_pool_that_is_dropped(ctx):
    """Warns, and its workers end."""
    pool = ctx.Pool(2)
    assert pool.map(pooled.square, range(4)) == [0, 1, 4, 9]
    processes, gone = list(pool._pool), weakref.ref(pool)
    running = "unclosed running multiprocessing pool <.*Pool state=RUN pool_size=2>"
    with pytest.warns(ResourceWarning, match=running):  # noqa: PT031
        del pool
        gc.collect()
    assert gone() is None
    for process in processes:
        exit_code(process)


def test_a_closed_pool_that_is_dropped(ctx):
    """Warns nobody."""
    pool = ctx.Pool(2)
    processes = list(pool._pool)
    pool.close()
    del pool
    gc.collect()
    for process in processes:
        exit_code(process)


def test_a_pool_that_says_that_it_runs(pools, make_pool):
    """CPython's own tests assign the state."""
    pool = make_pool(1)
    pool.terminate()
    pool.join()
    pool._state = "RUN"
    with pytest.warns(ResourceWarning, match="unclosed running multiprocessing pool"):
        pool.__del__()
    pool._state = "TERMINATE"


# Workers -------------------------------------------------------------------------------------------------------------


def test_workers(pool):
    pids = {worker.pid for worker in pool._pool}
    assert len(pool._pool) == len(pids) == 2
    assert all(worker.is_alive() and worker.daemon and worker.exitcode is None for worker in pool._pool)
    assert pids <= {process.pid for process in multiprocessing.active_children()}
    name, daemon, pid, _ = pool.apply(pooled.process)
    assert "PoolWorker" in name
    assert daemon is True
    assert pid in pids
    assert pool.apply(pooled.parent) == os.getpid()
    assert pool._processes == 2


def test_private_names(ctx, make_pool):
    pool = make_pool(2, pooled.keep, (1,), 5)
    assert (pool._state, pool._processes, pool._maxtasksperchild) == ("RUN", 2, 5)
    assert (pool._initializer, tuple(pool._initargs)) == (pooled.keep, (1,))
    assert type(pool._ctx) is type(ctx)
    assert len(pool._cache) == 0
    assert pool._taskqueue.empty()
    assert pool._taskqueue.qsize() == 0
    assert pool._wrap_exception is True


def test_a_worker_has_a_limited_number_of_tasks(make_pool):
    """And is replaced then. A chunk is one task."""
    pool = make_pool(1, maxtasksperchild=2)
    pids = [pool.apply(pooled.pid) for _ in range(6)]
    assert pids[0::2] == pids[1::2]
    assert len(set(pids)) == 3
    assert len(set(pool.map(pooled.pid, range(12), 3))) == 2
    one, two, *rest = pool.map(pooled.pid, range(5), 1)
    assert one == two
    assert two not in rest


def test_replaced_workers_are_initialized(ctx, make_pool):
    counter = ctx.Value("q", 0)
    pool = make_pool(1, pooled.keep_and_count, (counter,), 1)
    assert [pool.apply(pooled.square, (n,)) for n in range(3)] == [0, 1, 4]
    until(lambda: counter.value >= 3, "each of them was initialized")


def test_workers_are_replaced_while_there_is_work(make_pool):
    pool = make_pool(3, maxtasksperchild=10)
    before = [worker.pid for worker in pool._pool]
    results = [pool.apply_async(pooled.square, (n,)) for n in range(100)]
    assert [result.get(PATIENCE) for result in results] == [n * n for n in range(100)]
    pool._repopulate_pool()
    until(lambda: len(pool._pool) >= 3 and all(worker.is_alive() for worker in pool._pool), "all are there again")
    assert sorted(before) != sorted(worker.pid for worker in pool._pool)


def test_close_while_workers_are_replaced(make_pool):
    pool = make_pool(3, maxtasksperchild=1)
    results = [pool.apply_async(pooled.square, (n,)) for n in range(12)]
    many = pool.map_async(pooled.square, range(12), 1)
    pool.close()
    pool.join()
    assert [result.get(0) for result in results] == many.get(0) == [n * n for n in range(12)]


def test_a_pool_of_a_child(start, mp, method):
    """A process that is no daemon may have pools."""
    child = start()
    assert child.run(pooled.use_a_pool, mp.__name__, method) == [0, 1, 4]


def test_a_pool_of_a_thread(ctx):
    """It may end before the pool."""
    pool = Thread(ctx.Pool, 2).result()
    assert pool.map(pooled.square, range(5)) == [0, 1, 4, 9, 16]
    assert Thread(pool.apply, pooled.square, (3,)).result() == 9
    pool.close()
    pool.join()


def test_several_pools(make_pool):
    """The end of one is nothing to the others."""
    one, two, three = make_pool(2), make_pool(1), make_pool(2)
    results = [pool.map_async(pooled.square, range(50), 1) for pool in (one, two, three)]
    assert [result.get(PATIENCE) for result in results] == [[n * n for n in range(50)]] * 3
    two.terminate()
    one.close()
    one.join()
    assert three.map(pooled.square, range(9)) == [n * n for n in range(9)]


# Forks and signals ---------------------------------------------------------------------------------------------------


def test_a_fork_of_the_owner(pool):
    """Whatever becomes of the child, the pool is its parent's."""
    result = pool.map_async(pooled.square, range(50), 1)
    pid = os.fork()
    if pid == 0:
        os._exit(3)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 3
    assert result.get(PATIENCE) == [n * n for n in range(50)]
    assert pool.apply(pooled.square, (3,)) == 9


def test_a_process_that_ends_normally_beside_a_pool(ctx, pool):
    for _ in range(2):
        run_process(ctx.Process(target=workers.nothing))
        assert pool.map(pooled.square, range(9)) == [n * n for n in range(9)]


def test_a_task_that_forks(make_pool):
    """The child ends inside the task, and the worker goes on."""
    pool = make_pool(1)
    assert pool.map(pooled.fork_and_wait, [0, 3, 5], 1) == [0, 3, 5]
    assert pool.apply(pooled.square, (3,)) == 9


@pytest.mark.parametrize("way", ["apply", "map", "get", "next", "wait", "join"])
def test_ctrl_c_of_the_caller(held, gate, monkeypatch, way):
    """One KeyboardInterrupt where it waits. The task and the pool go on."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a background shell may have left it ignored
    main, tid = threading.main_thread(), threading.get_native_id()

    def interrupt():
        gate.wait()
        wait_asleep(os.getpid(), tid)
        signal.pthread_kill(main.ident, signal.SIGINT)

    result = held.apply_async(pooled.hold, (1,)) if way not in ("apply", "map", "next") else None
    if way == "join":
        held.close()
    calls = {
        "apply": lambda: held.apply(pooled.hold, (1,)),
        "map": lambda: held.map(pooled.hold, [1]),
        "get": lambda: result.get(),
        "wait": lambda: result.wait(),
        "next": lambda: next(held.imap(pooled.hold, [1])),
        "join": lambda: held.join(),
    }
    interrupter = Thread(interrupt)
    try:
        with pytest.raises(KeyboardInterrupt):
            calls[way]()
        interrupter.result()
    finally:
        signal.signal(signal.SIGINT, before)
    if way != "join":
        assert held.apply(pooled.square, (3,)) == 9
    gate.open()
    until(lambda: not held._cache, "the task is done")
    if result:
        assert result.get(PATIENCE) == 1
