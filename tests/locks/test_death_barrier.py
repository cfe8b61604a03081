# SPDX-License-Identifier: MIT
"""What becomes of Barriers and BoundedSemaphores when processes are killed."""

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


def check_broken(result, dead, killed, noise):
    """The outcome names the killed process and came in time."""
    outcome, now = result
    assert outcome.kind == "BrokenBarrierError"
    assert str(dead.pid) in outcome.text
    assert now - killed < noise.limit(DEATH_LIMIT)


def test_who_arrived_counts_even_if_killed(ctx, start):
    """A regression test for multiprocessing's hang: the round that follows the one with a killed waiter."""
    barrier = ctx.Barrier(2)
    victim = start(barrier).off(barrier).wait()
    victim.kill()
    assert barrier.n_waiting == 1
    assert barrier.wait(5) == 1
    with Noise() as noise:
        killed = time.monotonic()
        check_broken(workers.when(barrier, "wait"), victim, killed, noise)
    assert barrier.broken is True
    barrier.reset()
    child = start(barrier).off(barrier).wait()
    assert barrier.wait() == 1
    assert child.result() == 0


def test_a_member_that_is_killed_between_two_rounds(ctx, start):
    barrier = ctx.Barrier(3)
    victim, other = start(barrier), start(barrier)
    for _ in range(3):
        victim.off(barrier).wait()
        other.off(barrier).wait()
        barrier.wait()
        assert victim.result() + other.result() == 1
    other.begin(workers.when, barrier, "wait")
    thread = Thread(workers.when, barrier, "wait").asleep()
    with Noise() as noise:
        killed = victim.kill()
        results = [other.result(), thread.result()]
    for result in results:
        check_broken(result, victim, killed, noise)
    with pytest.raises(threading.BrokenBarrierError, match=str(victim.pid)):
        barrier.wait()
    barrier.reset()
    other.off(barrier).wait()
    start(barrier).off(barrier).wait()
    assert barrier.wait() == 2


def test_a_member_that_was_killed_before_anybody_waits(ctx, start):
    barrier = ctx.Barrier(2)
    victim = start(barrier).off(barrier).wait()
    barrier.wait()
    assert victim.result() == 0
    victim.kill()
    newcomers = [start(barrier) for _ in range(3)]  # one of them has the dead one's place in the table
    with pytest.raises(threading.BrokenBarrierError, match=str(victim.pid)):
        barrier.wait(20)
    barrier.reset()
    newcomers[0].off(barrier).wait()
    assert barrier.wait() == 1


def test_a_member_that_ended_normally_is_waited_for(ctx, start):
    barrier = ctx.Barrier(2)
    member = start(barrier).off(barrier).wait()
    barrier.wait()
    assert member.result() == 0
    member.end()
    waiter = Thread(barrier.wait, 60).asleep()
    aside(threading.Event().wait, 2 * DEATH_LIMIT)  # long enough for every check of the members
    waiter.asleep()
    assert barrier.wait() == 1
    assert waiter.result() == 0


def test_who_never_took_part_is_not_missed(ctx, start):
    barrier = ctx.Barrier(2)
    bystander = start(barrier)
    waiter = Thread(barrier.wait).asleep()
    bystander.kill()
    aside(threading.Event().wait, 2 * DEATH_LIMIT)
    waiter.asleep()
    assert barrier.wait() == 1
    assert waiter.result() == 0


def test_a_killed_member_whose_place_was_taken_may_be_replaced_in_time(ctx, start):
    """The barrier of a round that is complete without the dead one is not broken."""
    barrier = ctx.Barrier(2)
    victim = start(barrier).off(barrier).wait()
    barrier.wait()
    victim.result()
    thread = Thread(barrier.wait).asleep()
    assert barrier.wait() == 1
    assert thread.result() == 0
    victim.kill()
    thread = Thread(barrier.wait).asleep()
    assert barrier.wait() == 1
    assert thread.result() == 0


def test_who_is_killed_in_the_action(ctx, start):
    barrier = ctx.Barrier(2, ends.kill_myself)
    victim = start(barrier)
    waiter = Thread(workers.when, barrier, "wait").asleep()
    with Noise() as noise:
        killed = time.monotonic()
        victim.send(workers.invoke, barrier, "wait")
        result = waiter.result()
    check_broken(result, victim, killed, noise)
    assert barrier.broken is True


def test_policy_wait(ctx, start):
    barrier = ctx.Barrier(2, on_owner_death="wait")
    victim = start(barrier).off(barrier).wait()
    barrier.wait()
    victim.result()
    victim.kill()
    outcome, seconds = workers.timed(barrier, "wait", 2 * DEATH_LIMIT)
    assert outcome.kind == "BrokenBarrierError"
    assert outcome.text == ""
    assert seconds >= 2 * DEATH_LIMIT


@pytest.mark.parametrize("parties", [2, 40, 200])
def test_barriers_of_any_size(ctx, start, parties):
    barrier = ctx.Barrier(parties)
    victim = start(barrier)
    for _ in range(2):
        victim.off(barrier).wait()
        threads = [Thread(barrier.wait) for _ in range(parties - 1)]
        indices = [victim.result(), *[thread.result() for thread in threads]]
        assert sorted(indices) == list(range(parties))
    waiter = Thread(workers.when, barrier, "wait").asleep()
    with Noise() as noise:
        killed = victim.kill()
        check_broken(waiter.result(), victim, killed, noise)


@pytest.fixture
def noticed():
    """Whoever notices that permits came back is warned."""
    with pytest.warns(ResourceWarning, match="permit"):
        yield


@pytest.mark.parametrize("permits", [1, 3, 100, 480])
def test_permits_of_the_killed_come_back(ctx, start, permits, noticed):
    semaphore = ctx.BoundedSemaphore(permits)
    victim = start(semaphore)
    victim.run(workers.take, semaphore, permits)
    assert semaphore.acquire(False) is False
    waiter = Thread(workers.when, semaphore, "acquire").asleep()
    with Noise() as noise:
        killed = victim.kill()
        outcome, now = waiter.result()
    assert outcome == workers.Returned(True)
    assert now - killed < noise.limit(DEATH_LIMIT)
    assert semaphore.get_value() == permits - 1
    for _ in range(permits + 1):  # as if others released for the dead one, who know nothing of its death
        semaphore.release()
    assert semaphore.get_value() == permits
    with pytest.raises(ValueError, match="^semaphore or lock released too many times$"):
        semaphore.release()
    assert semaphore.get_value() == permits


@pytest.mark.parametrize("args", [(False,), (True, 0.01), (True, 0)])
def test_who_polls_for_a_permit_gets_it_in_time(ctx, start, args, noticed):
    semaphore = ctx.BoundedSemaphore(1)
    victim = start(semaphore)
    victim.on(semaphore).acquire()
    assert semaphore.acquire(*args) is False
    with Noise() as noise:
        killed = victim.kill()
        thread = Thread(workers.poll, semaphore, *args)
        outcome, now = thread.result(patience=5)
    assert outcome == workers.Returned(True)
    assert now - killed < noise.limit(DEATH_LIMIT)


def test_only_the_permits_of_the_killed_come_back(ctx, start, noticed):
    semaphore = ctx.BoundedSemaphore(5)
    victim, other = start(semaphore), start(semaphore)
    victim.run(workers.take, semaphore, 2)
    other.run(workers.take, semaphore, 2)
    assert semaphore.acquire(False) is True
    waiter = Thread(semaphore.acquire).asleep()
    victim.kill()
    assert waiter.result() is True
    assert semaphore.get_value() == 1
    other.on(semaphore).release()
    other.on(semaphore).release()
    semaphore.release()
    semaphore.release()
    assert semaphore.get_value() == 5


def test_permits_with_policy_wait_stay_lost(ctx, start):
    semaphore = ctx.BoundedSemaphore(2, on_owner_death="wait")
    victim = start(semaphore)
    victim.run(workers.take, semaphore, 2)
    victim.kill()
    assert semaphore.acquire(timeout=2 * DEATH_LIMIT) is False
    semaphore.release()
    assert semaphore.acquire(False) is True


def test_permits_that_nobody_can_tell_apart_stay_lost(ctx, start):
    for semaphore in (ctx.Semaphore(2), ctx.BoundedSemaphore(500)):
        value = semaphore.get_value()
        victim = start(semaphore)
        victim.run(workers.take, semaphore, value)
        victim.kill()
        assert semaphore.acquire(timeout=2 * DEATH_LIMIT) is False
        semaphore.release()
        assert semaphore.acquire(False) is True


def test_permits_of_a_process_that_ended_normally_stay_taken(ctx, start):
    semaphore = ctx.BoundedSemaphore(1)
    child = start(semaphore)
    child.on(semaphore).acquire()
    child.end()
    assert semaphore.acquire(timeout=2 * DEATH_LIMIT) is False
    semaphore.release()
    assert semaphore.acquire(False) is True


def test_a_killed_waiter_takes_no_permit(ctx, start):
    semaphore = ctx.BoundedSemaphore(1)
    semaphore.acquire()
    start(semaphore).off(semaphore).acquire().kill()
    second = start(semaphore).off(semaphore).acquire()
    semaphore.release()
    assert second.result() is True
    second.on(semaphore).release()
    until(lambda: semaphore.get_value() == 1, "the permit is back")
