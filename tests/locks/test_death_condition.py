# SPDX-License-Identifier: MIT
"""What becomes of Conditions and Events whose waiters, notifiers or holders are killed."""

import pytest
import workers
from harness import DEATH_LIMIT, ChildRaised, Noise, Thread, aside, until

import mpfast


@pytest.fixture
def mp():
    return mpfast


@pytest.fixture
def condition(ctx):
    return ctx.Condition()


def waiting(start, condition):
    return start(condition).begin(workers.wait_under, condition)


def woken(waiter):
    """It came back, before the recovery or after."""
    try:
        return waiter.result() is not None
    except mpfast.LockOwnerDied:
        return True
    except ChildRaised as error:
        return error.kind == "LockOwnerDied"


def check_works(condition, start):
    """It notifies one, then all, as a new one does."""
    waiters = [waiting(start, condition), Thread(workers.wait_under, condition).asleep()]
    workers.notify_under(condition)
    assert waiters[0].result() is True
    waiters[1].asleep()
    with condition:
        condition.notify_all()
    assert waiters[1].result() is True


def test_notify_with_a_killed_waiter_does_not_hang(condition, start):
    """A regression test for multiprocessing's hang: notify() waits for each waiter that it has woken."""
    waiting(start, condition).kill()
    with Noise() as noise:
        outcome, seconds = workers.timed(workers, "notify_under", condition)
    assert outcome == workers.Returned(None)
    assert seconds < noise.limit(0.05)
    with condition:
        condition.notify_all()
        assert condition.wait(0.01) is False
    check_works(condition, start)


def test_notify_is_not_spent_on_the_dead(condition, start):
    victims = [waiting(start, condition) for _ in range(3)]
    second = waiting(start, condition)
    third = Thread(workers.wait_under, condition).asleep()
    for victim in victims:
        victim.kill()
    with Noise() as noise:
        workers.notify_under(condition)
        assert second.result() is True
    assert noise.worst < 5
    third.asleep()
    workers.notify_under(condition)
    assert third.result() is True
    check_works(condition, start)


def test_a_waiter_that_is_killed_after_its_notify_keeps_nobody_up(condition, start):
    """It was woken, or about to be, when it died: the lock must be free, or be declared abandoned in time."""
    victim = waiting(start, condition)
    with condition:
        condition.notify()
        victim.kill()
    outcome, seconds = workers.timed(condition, "acquire", timeout=5)
    if outcome == workers.Returned(True):
        condition.release()
    else:
        assert outcome.kind == "LockOwnerDied"
        assert condition.recover() is True
        condition.release()
    assert seconds < 1
    check_works(condition, start)


def test_the_killed_are_not_counted(condition, start):
    victim = waiting(start, condition)
    thread = Thread(workers.wait_under, condition).asleep()
    assert repr(condition).endswith(", 2)>")
    victim.kill()
    until(lambda: repr(condition).endswith(", 1)>"), "the dead waiter is not counted")
    workers.notify_under(condition, 2)
    assert thread.result() is True


def test_a_holder_that_is_killed_inside(condition, start):
    victim = start(condition)
    victim.on(condition).acquire()
    waiter = start(condition).begin(workers.when, condition, "acquire")
    with Noise() as noise:
        killed = victim.kill()
        outcome, now = waiter.result()
    assert outcome.kind == "LockOwnerDied"
    assert outcome.details["pid"] == victim.pid
    assert now - killed < noise.limit(DEATH_LIMIT)
    with pytest.raises(mpfast.LockOwnerDied), condition:
        pytest.fail("entered")
    for call in (condition.wait, condition.notify, condition.notify_all):
        with pytest.raises(AssertionError):
            call()
    assert condition.recover() is True
    assert condition.recover() is False
    assert condition._lock._semlock._count() == 1
    condition.release()
    check_works(condition, start)


def test_recover_wakes_all_who_wait(condition, start):
    """Whatever they wait for may have been about to come from the dead one; they look again."""
    child, victim = waiting(start, condition), start(condition)
    thread = Thread(workers.wait_under, condition).asleep()
    victim.on(condition).acquire()
    victim.kill()
    until(condition.recover, "recover() notices")
    condition.release()
    for waiter in (child, thread):
        assert woken(waiter)
    check_works(condition, start)


def test_who_waits_for_a_value_survives_the_death_of_a_producer(ctx, condition, start):
    cell = ctx.RawArray("q", 1)
    consumer, victim = start(condition, cell), start(condition)
    consumer.begin(workers.wait_for_value, condition, cell, 7)
    victim.on(condition).acquire()
    victim.kill()
    until(condition.recover, "recover() notices")
    cell[0] = 7
    condition.release()
    assert consumer.result() is True


@pytest.mark.parametrize("count", [1, 2])
def test_a_notifier_that_is_killed_before_its_release(condition, start, count):
    """All waiters hear of the death in time, notified or not: the others' notify may have been the victim's to give."""
    waiters = [start(condition) for _ in range(2)]
    for waiter in waiters:
        waiter.begin(workers.wait_and_tell, condition)
    victim = start(condition)
    victim.on(condition).acquire()
    victim.on(condition).notify(count)
    with Noise() as noise:
        killed = victim.kill()
        with pytest.raises(mpfast.LockOwnerDied):
            condition.acquire()
        results = [waiter.result() for waiter in waiters]
    for outcome, held, now in results:
        assert outcome.kind == "LockOwnerDied"
        assert held is False
        assert now - killed < noise.limit(DEATH_LIMIT)
    assert condition.recover() is True
    condition.release()
    check_works(condition, start)


def test_nobody_else_need_notice_the_death(condition, start):
    """The waiter alone finds out that who was to notify it was killed with the lock."""
    waiter, victim = start(condition), start(condition)
    waiter.begin(workers.wait_and_tell, condition)
    waiter.asleep()
    victim.on(condition).acquire()
    with Noise() as noise:
        killed = victim.kill()
        outcome, held, now = waiter.result()
    assert outcome.kind == "LockOwnerDied"
    assert outcome.details["pid"] == victim.pid
    assert held is False
    assert now - killed < noise.limit(DEATH_LIMIT)
    assert condition.recover() is True
    condition.release()
    check_works(condition, start)


@pytest.mark.parametrize("kind", ["Lock", "RLock"])
@pytest.mark.parametrize("through", ["condition", "lock"])
def test_the_end_of_the_block_hides_no_death(ctx, start, kind, through):
    """wait() raises inside `with`, without the lock. The end of the block must neither raise something else, nor free
    what is abandoned: whoever comes next would walk into half-written data unwarned."""
    lock = getattr(ctx, kind)()
    condition = ctx.Condition(lock)
    waiter, victim = start(condition, lock), start(condition)
    waiter.begin(workers.wait_within, condition if through == "condition" else lock, condition)
    victim.on(condition).acquire()
    victim.on(condition).notify()
    victim.kill()
    assert waiter.outcome().kind == "LockOwnerDied"
    with pytest.raises(mpfast.LockOwnerDied):
        lock.acquire()
    assert condition.recover() is True
    condition.release()
    check_works(condition, start)


def test_a_condition_whose_lock_does_not_care(ctx, start):
    lock = ctx.Lock(on_owner_death="release")
    condition = ctx.Condition(lock)
    waiter, victim = waiting(start, condition), start(condition)
    victim.on(condition).acquire()
    victim.on(condition).notify()
    victim.kill()
    assert waiter.result() is True
    check_works(condition, start)


def test_event_set_with_a_killed_waiter_does_not_hang(ctx, start):
    """A regression test for multiprocessing's hang: set() waits for each waiter that it has woken."""
    event = ctx.Event()
    start(event).off(event).wait().kill()
    other, thread = start(event).off(event).wait(), Thread(event.wait).asleep()
    with Noise() as noise:
        outcome, seconds = workers.timed(event, "set")
        assert other.result() is True
        assert thread.result() is True
    assert outcome == workers.Returned(None)
    assert seconds < noise.limit(0.05)
    event.clear()
    assert event.wait(0.01) is False


def test_an_event_outlives_whoever_set_it(ctx, start):
    event = ctx.Event()
    child = start(event)
    thread = Thread(event.wait).asleep()
    child.on(event).set()
    child.kill()
    assert thread.result() is True
    assert event.is_set() is aside(event.is_set) is True
