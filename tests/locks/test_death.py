# SPDX-License-Identifier: MIT
"""What becomes of a Lock or RLock whose holder is killed. multiprocessing's would stay locked for ever."""

import functools
import os
import pickle
import signal
import threading
import time

import ends
import pytest
import workers
from harness import DEATH_LIMIT, Noise, Thread, aside, until

import mpfast


@pytest.fixture
def mp():
    return mpfast


@pytest.fixture(params=["Lock", "RLock"])
def kind(request):
    return request.param


@pytest.fixture
def lock(ctx, kind):
    return getattr(ctx, kind)()


@pytest.fixture
def holder(start, lock):
    child = start(lock)
    assert child.on(lock).acquire() is True
    return child


def check_abandoned(lock, dead):
    """Everybody is told, again and again, and nobody gets in."""
    for args in ((), (True, 5), (True, 0), (False,)):
        with pytest.raises(mpfast.LockOwnerDied) as caught:
            lock.acquire(*args)
        assert (caught.value.pid, caught.value.tid) == (dead.pid, dead.tid)
    with pytest.raises(mpfast.LockOwnerDied), lock:
        pytest.fail("entered")
    assert lock.locked() is True
    assert lock._semlock._is_mine() is False


def check_works(lock, child=None):
    """It is as good as a new one."""
    with lock:
        assert lock.locked() is True
        assert aside(lock.acquire, False) is False
        if child:
            assert child.on(lock).acquire(False) is False
    assert lock.locked() is False


def test_the_exception(kind, lock, holder):
    holder.kill()
    with pytest.raises(mpfast.LockOwnerDied) as caught:
        lock.acquire()
    error = caught.value
    assert isinstance(error, mpfast.ProcessError)
    assert (error.pid, error.tid) == (holder.pid, holder.tid)
    assert kind in error.name
    assert str(holder.pid) in str(error)
    copy = pickle.loads(pickle.dumps(error))
    assert (type(copy), copy.pid, copy.tid, copy.name, str(copy)) == (
        mpfast.LockOwnerDied,
        error.pid,
        error.tid,
        error.name,
        str(error),
    )


def test_who_waits_is_told_in_time(lock, holder, start):
    """A regression test for multiprocessing's hang: Lock.acquire() with a killed owner."""
    other = start(lock).begin(workers.when, lock, "acquire")
    third = start(lock).begin(workers.when, lock, "acquire", True, 60)
    thread = Thread(workers.when, lock, "acquire").asleep()
    with Noise() as noise:
        killed = holder.kill()
        results = [waiter.result() for waiter in (other, third, thread)]
    for outcome, now in results:
        assert outcome.kind == "LockOwnerDied"
        assert outcome.details["pid"] == holder.pid
        assert outcome.details["tid"] == holder.tid
        assert now - killed < noise.limit(DEATH_LIMIT)
    check_abandoned(lock, holder)


@pytest.mark.parametrize("args", [(False,), (True, 0), (True, 0.01), (True, 0.05), ()])
def test_who_comes_later_is_told_in_time(lock, holder, args):
    assert args == () or lock.acquire(*args) is False
    with Noise() as noise:
        killed = holder.kill()
        outcome, now = workers.poll(lock, *args)
    assert outcome.kind == "LockOwnerDied"
    assert now - killed < noise.limit(DEATH_LIMIT)
    check_abandoned(lock, holder)


def test_many_who_poll_are_told(lock, holder, start):
    """Polling too keeps nobody from noticing, nor does it keep others from it."""
    pollers = [start(lock) for _ in range(2)]
    for poller in pollers:
        poller.send(workers.poll, lock, True, 0.005)
    waiter = Thread(workers.when, lock, "acquire").asleep()
    with Noise() as noise:
        killed = holder.kill()
        results = [each.result() for each in (*pollers, waiter)]
    assert [outcome.kind for outcome, _ in results] == ["LockOwnerDied"] * 3
    assert max(now for _, now in results) - killed < noise.limit(DEATH_LIMIT)


def test_recover_gives_it_to_the_caller(kind, lock, holder, start):
    other = start(lock)
    holder.kill()
    with pytest.raises(mpfast.LockOwnerDied):
        lock.acquire()
    assert lock.recover() is True
    assert lock.recover() is False
    assert workers.seen(lock)[1:4] == (True, 1, 0)
    assert other.on(lock).acquire(False) is False
    assert other.on(lock).recover() is False
    other.off(lock).acquire()
    if kind == "RLock":
        lock.acquire()
        lock.release()
        other.asleep()
    lock.release()
    assert other.result() is True
    other.on(lock).release()
    check_works(lock, other)


def test_recover_without_having_noticed(lock, holder):
    """A caller who knows from elsewhere that the holder is dead need not have tried to acquire."""
    assert lock.recover() is False
    holder.kill()
    until(lock.recover, "recover() notices", patience=5)
    lock.release()
    check_works(lock)


def test_recover_of_what_is_not_abandoned(lock, start):
    child = start(lock)
    assert lock.recover() is False
    assert lock.locked() is False
    with lock:
        assert lock.recover() is child.on(lock).recover() is aside(lock.recover) is False
        assert lock._semlock._count() == 1
    check_works(lock, child)


def test_of_all_who_recover_one_gets_it(kind, lock, start):
    racers = [start(lock) for _ in range(4)]
    for _ in range(5):
        victim = start(lock)
        victim.on(lock).acquire()
        victim.kill()
        with pytest.raises(mpfast.LockOwnerDied):
            lock.acquire()
        for racer in racers:
            racer.send(workers.invoke, lock, "recover")
        threads = [Thread(lock.recover) for _ in range(2)]
        results = [racer.result() for racer in [*racers, *threads]]
        assert sorted(results) == [False] * 5 + [True]
        if True in results[:4]:
            racers[results.index(True)].on(lock).release()
            check_works(lock)
        elif kind == "Lock":
            lock.release()
        else:  # the thread that has the RLock is gone, with it the one who could release it
            return


def test_waiters_stay_waiters_while_another_recovers(lock, holder, start):
    """Whoever began to wait after recover() waits for the new holder, and is not told of the old one's death."""
    waiter = start(lock)
    holder.kill()
    until(lock.recover, "recover() notices")
    waiter.off(lock).acquire()
    time.sleep(2 * DEATH_LIMIT)  # long enough for every check of an owner
    waiter.asleep()
    lock.release()
    assert waiter.result() is True


def test_release_frees_an_abandoned_lock(ctx, start):
    lock = ctx.Lock()
    victim, other = start(lock), start(lock)
    victim.on(lock).acquire()
    victim.kill()
    with pytest.raises(mpfast.LockOwnerDied):
        lock.acquire()
    other.on(lock).release()
    check_works(lock, other)


def test_release_does_not_free_an_abandoned_rlock(ctx, start):
    lock = ctx.RLock()
    victim = start(lock)
    victim.on(lock).acquire()
    victim.on(lock).acquire()
    victim.kill()
    with pytest.raises(mpfast.LockOwnerDied):
        lock.acquire()
    with pytest.raises(AssertionError, match="^attempt to release recursive lock not owned by thread$"):
        lock.release()
    check_abandoned(lock, victim)
    assert lock.recover() is True
    assert lock._semlock._count() == 1  # whatever the depth of the dead one
    lock.release()
    check_works(lock)


def test_a_second_death(lock, holder, start):
    """The one who recovered is killed as well."""
    second = start(lock)
    holder.kill()
    until(second.on(lock).recover, "recover() notices")
    second.kill()
    with pytest.raises(mpfast.LockOwnerDied) as caught:
        lock.acquire()
    assert caught.value.pid == second.pid
    check_abandoned(lock, second)


def test_the_dead_are_remembered_when_others_have_taken_their_place(lock, holder, start):
    holder.kill()
    newcomers = [start(lock) for _ in range(4)]
    with pytest.raises(mpfast.LockOwnerDied) as caught:
        lock.acquire()
    assert (caught.value.pid, caught.value.tid) == (holder.pid, holder.tid)
    for child in newcomers:
        child.send(workers.invoke, lock, "acquire")
        assert child.outcome().details["pid"] == holder.pid


def test_one_death_with_many_locks(ctx, kind, start):
    locks = [getattr(ctx, kind)() for _ in range(100)]
    victim = start(*locks)
    for lock in locks[:50]:
        victim.on(lock).acquire()
    victim.kill()
    for lock in locks[:50]:
        with pytest.raises(mpfast.LockOwnerDied):
            lock.acquire()
    for lock in locks[50:]:
        assert lock.acquire(False) is True


def test_the_death_of_a_waiter_is_nobodys_concern(lock, start):
    lock.acquire()
    first, second = start(lock).off(lock).acquire(), start(lock).off(lock).acquire()
    thread = Thread(lambda: lock.acquire() and lock.release()).asleep()
    first.kill()
    lock.release()
    assert second.result() is True
    second.on(lock).release()
    thread.result()
    check_works(lock)


def test_policy_release(ctx, kind, start):
    lock = getattr(ctx, kind)(on_owner_death="release")
    victim, waiter = start(lock), start(lock)
    victim.on(lock).acquire()
    waiter.begin(workers.when, lock, "acquire")
    with Noise() as noise:
        killed = victim.kill()
        outcome, now = waiter.result()
    assert outcome == workers.Returned(True)
    assert now - killed < noise.limit(DEATH_LIMIT)
    waiter.kill()
    assert lock.recover() is False
    assert workers.poll(lock, False)[0] == workers.Returned(True)
    lock.release()
    check_works(lock)


def test_policy_wait(ctx, kind, start):
    lock = getattr(ctx, kind)(on_owner_death="wait")
    victim = start(lock)
    victim.on(lock).acquire()
    victim.kill()
    assert lock.acquire(timeout=2 * DEATH_LIMIT) is False
    assert lock.acquire(False) is False
    assert lock.recover() is False
    if kind == "Lock":
        lock.release()
        check_works(lock)


def test_policies_are_checked(ctx, kind):
    make = getattr(ctx, kind)
    with pytest.raises(ValueError, match="on_owner_death"):
        make(on_owner_death="panic")
    with pytest.raises(TypeError):
        make(on_owner_death=1)
    with pytest.raises(TypeError):
        make("raise")
    check_works(make(on_owner_death="raise"))
    with pytest.raises(ValueError, match="on_owner_death"):
        ctx.BoundedSemaphore(1, on_owner_death="raise")
    with pytest.raises(ValueError, match="on_owner_death"):
        ctx.Barrier(1, on_owner_death="release")


def test_a_policy_goes_with_the_lock(ctx, start):
    lock = ctx.Lock(on_owner_death="release")
    middle, victim = start(lock), start(lock)
    victim.on(lock).acquire()
    victim.kill()
    assert middle.run(workers.poll, lock, False)[0] == workers.Returned(True)


def test_a_stopped_holder_is_not_dead(lock, holder):
    holder.signal(signal.SIGSTOP)
    assert lock.acquire(timeout=2 * DEATH_LIMIT) is False
    waiter = Thread(lock.acquire).asleep()
    holder.signal(signal.SIGCONT)
    holder.on(lock).release()
    assert waiter.result() is True


def test_a_stopped_holder_that_is_killed_is_dead(lock, holder):
    holder.signal(signal.SIGSTOP)
    holder.kill()
    with pytest.raises(mpfast.LockOwnerDied):
        lock.acquire()


def test_a_holder_whose_thread_has_ended_is_not_dead(lock):
    thread = threading.Thread(target=lock.acquire)
    thread.start()
    thread.join()
    assert lock.acquire(timeout=2 * DEATH_LIMIT) is False


@pytest.mark.parametrize("reaped", [True, False])
def test_a_grandchild(ctx, lock, start, reaped):
    """Of whom the acquirer is no parent, so that nothing but the family's table tells of its death."""
    child = start(lock)
    pid = child.run(ends.start_grandchild, ctx, lock)
    assert lock.acquire(False) is False
    os.kill(pid, signal.SIGKILL)
    if reaped:
        assert child.run(ends.reap_grandchildren) == [-signal.SIGKILL]
    with pytest.raises(mpfast.LockOwnerDied) as caught:
        lock.acquire()
    assert caught.value.pid == pid
    child.run(ends.reap_grandchildren)


@pytest.mark.parametrize(
    ("how", "exitcode"),
    [
        (functools.partial(os._exit, 0), 0),
        (functools.partial(os._exit, 3), 3),
        (functools.partial(ends.crash, signal.SIGTERM), -signal.SIGTERM),
        (functools.partial(ends.crash, signal.SIGSEGV), -signal.SIGSEGV),
        (functools.partial(ends.crash, signal.SIGABRT), -signal.SIGABRT),
    ],
    ids=["_exit0", "_exit3", "SIGTERM", "SIGSEGV", "SIGABRT"],
)
def test_ends_that_count_as_death(ctx, how, exitcode):
    lock = ctx.Lock()
    process = ctx.Process(target=ends.end_holding, args=(lock, how))
    process.start()
    process.join()
    assert process.exitcode == exitcode
    with pytest.raises(mpfast.LockOwnerDied) as caught:
        lock.acquire()
    assert caught.value.pid == process.pid
    process.close()


def test_terminate_is_death(lock, holder):
    holder.process.terminate()
    holder.process.join()
    check_eventually(lock, holder)


def check_eventually(lock, dead):
    with pytest.raises(mpfast.LockOwnerDied):
        lock.acquire()
    check_abandoned(lock, dead)
