# SPDX-License-Identifier: MIT
"""How locks get to other processes: the contract of multiprocessing's."""

import copy
import importlib
import pickle

import jobs
import pytest
import subclasses
import workers
from harness import Thread, run_process

INHERITANCE = r"^[A-Za-z]+ objects should only be shared between processes through inheritance($|\nwhen serializing)"
MAKE = {
    "Lock": lambda ctx: ctx.Lock(),
    "RLock": lambda ctx: ctx.RLock(),
    "Semaphore": lambda ctx: ctx.Semaphore(1),
    "BoundedSemaphore": lambda ctx: ctx.BoundedSemaphore(1),
    "Condition": lambda ctx: ctx.Condition(),
    "Condition(Lock)": lambda ctx: ctx.Condition(ctx.Lock()),
    "Event": lambda ctx: ctx.Event(),
    "Barrier": lambda ctx: ctx.Barrier(2),
}
LOCKS = list(MAKE)[:6]


@pytest.fixture(params=list(MAKE))
def thing(request, ctx):
    return MAKE[request.param](ctx)


@pytest.fixture(params=LOCKS)
def lock(request, ctx):
    return MAKE[request.param](ctx)


@pytest.mark.parametrize(
    "how",
    [pickle.dumps, lambda thing: pickle.dumps([thing], protocol=2), copy.deepcopy],
    ids=["pickle", "protocol2", "deepcopy"],
)
def test_no_pickling_but_for_a_child(thing, how):
    with pytest.raises(RuntimeError, match=INHERITANCE):
        how(thing)


def test_no_copy(lock):
    with pytest.raises(RuntimeError, match=INHERITANCE):
        copy.copy(lock)


def test_the_text_names_the_type(ctx):
    for name in ("Lock", "RLock", "Semaphore", "BoundedSemaphore", "Condition"):
        with pytest.raises(RuntimeError, match=f"^{name} objects"):
            pickle.dumps(getattr(ctx, name)())


def test_not_through_a_queue_or_a_pipe(ctx, thing):
    ours, theirs = ctx.Pipe()
    with ours, theirs, pytest.raises(RuntimeError, match=INHERITANCE):
        ours.send(thing)


def test_as_arguments(ctx, lock):
    """By position, by keyword and in containers; and what is one object here is one object there."""
    seen = ctx.RawArray("q", 4)
    nested = {"list": [lock, (lock,)], "object": jobs.Box(lock)}
    run_process(ctx.Process(target=jobs.try_all, args=(seen, lock, nested), kwargs={"keyword": lock}))
    assert list(seen) == [1, 1, 1, 1]
    lock.acquire()
    run_process(ctx.Process(target=jobs.try_all, args=(seen, lock, nested), kwargs={"keyword": lock}))
    assert list(seen) == [0, 0, 0, 0]
    lock.release()


def test_in_attributes_of_a_process(ctx, lock):
    class_ = jobs.process_class(ctx)
    process = class_(lock, ctx.RawArray("q", 1))
    run_process(process)
    assert process.seen[0] == 1
    assert lock.acquire(False)


@pytest.mark.parametrize("kind", ["RLock", "Condition(Lock)"])
def test_to_grandchildren(ctx, kind):
    """A child passes on what it was given."""
    lock = MAKE[kind](ctx)
    seen = ctx.RawArray("q", [-1])
    args = (ctx.get_start_method(), ctx, lock, seen, 2)
    run_process(ctx.Process(target=jobs.pass_on, args=args))
    assert seen[0] == 1
    with lock:
        run_process(ctx.Process(target=jobs.pass_on, args=args))
    assert seen[0] == 0


def test_to_several_children_that_wait_for_each_other(ctx, start):
    event, barrier, condition = ctx.Event(), ctx.Barrier(3), ctx.Condition()
    one, two = start(event, barrier, condition), start(event, barrier, condition)
    one.off(event).wait()
    two.on(event).set()
    assert one.result() is True
    one.off(barrier).wait()
    two.off(barrier).wait()
    assert barrier.wait() == 2
    assert (one.result(), two.result()) == (0, 1)
    one.begin(workers.wait_under, condition)
    two.run(workers.notify_under, condition)
    assert one.result() is True


def test_a_lock_held_at_the_start_of_a_child_may_be_released_by_it(ctx, start):
    lock = ctx.Lock()
    lock.acquire()
    child = start(lock)
    assert child.on(lock).acquire(False) is False
    waiter = Thread(lock.acquire).asleep()
    child.on(lock).release()
    assert waiter.result() is True


def test_subclasses(mp, ctx, start):
    name = {"multiprocessing": "StdlibLock", "mpfast": "FastLock"}[mp.__name__]
    lock = getattr(subclasses, name)(ctx=ctx)
    assert isinstance(lock, importlib.import_module(mp.__name__ + ".synchronize").Lock)
    assert lock.held() is True
    assert repr(lock) == f"<{name}(owner=None)>"
    child = start(lock)
    assert child.on(lock).held() is True
    with lock:
        assert child.on(lock).acquire(False) is False
    assert child.run(repr, lock) == f"<{name}(owner=None)>"


def test_conditions_share_their_lock_with_others_also_in_a_child(ctx, start):
    lock = ctx.RLock()
    one, two = ctx.Condition(lock), ctx.Condition(lock)
    child = start(one, two, lock)
    assert child.on(lock).acquire()
    assert child.run(repr, one) == f"<Condition(<RLock({child.process.name}, 1)>, 0)>"
    assert child.on(one).acquire()
    assert child.run(repr, two) == f"<Condition(<RLock({child.process.name}, 2)>, 0)>"
    assert one.acquire(False) is two.acquire(False) is lock.acquire(False) is False
