# SPDX-License-Identifier: MIT
"""A storm of SIGKILLs on processes that hold, wait and notify, and the books that are kept meanwhile.

Every worker has a seat, whose row of the books survives it; a killed one is replaced at once. The section under the
lock begins with the worker's pid written into a cell that must be 0, and ends with 0: who enters by acquire() and
finds something else has company, or was let in behind a dead holder's back. Only recover() may find a pid there, that
of the holder who was killed, and finds each one once.
"""

import itertools
import os
import random
import signal
import time
import warnings

from harness import Noise, until

import mpfast

COLUMNS = OPS, LONGEST, FORBIDDEN, PID = range(4)
RECOVERIES = 4096


class Books:
    """Shared arrays: doubles a row per seat; the cell of the section; the pids whose section was recovered."""

    def __init__(self, ctx, seats):
        self.rows = ctx.RawArray("d", seats * len(COLUMNS))
        self.cell = ctx.RawArray("q", 2)
        self.recovered = ctx.RawArray("q", RECOVERIES)
        self.level = ctx.RawArray("q", 1)
        self.over = ctx.RawArray("q", 1)

    def get(self, seat, column):
        return self.rows[seat * len(COLUMNS) + column]

    def add(self, seat, column, value=1):
        self.rows[seat * len(COLUMNS) + column] += value

    def took(self, seat, seconds):
        index = seat * len(COLUMNS) + LONGEST
        self.rows[index] = max(self.rows[index], seconds)


class Things:
    def __init__(self, ctx):
        self.lock = ctx.Lock()
        self.rlock = ctx.RLock()
        self.condition = ctx.Condition(ctx.Lock())
        self.event = ctx.Event()
        self.permits = ctx.BoundedSemaphore(2)


def timed(books, seat, function, *args):
    """Calls it and enters into the books how long it took, whether it returned or raised."""
    begin = time.monotonic()
    try:
        return function(*args)
    finally:
        books.took(seat, time.monotonic() - begin)


def busy(seconds):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass


def section(books, seat):
    """The protocol of the cell. The caller holds the lock."""
    cell, me = books.cell, os.getpid()
    if cell[0] != 0:
        books.add(seat, FORBIDDEN)
    cell[0] = me
    busy(0.001)
    if cell[0] != me:
        books.add(seat, FORBIDDEN)
    cell[0] = 0


def note_dead(books, seat):
    """Whose section was cut off? Written down before the cell is used again."""
    dead = books.cell[0]
    if dead:
        books.recovered[books.cell[1] % RECOVERIES] = dead
        books.cell[1] += 1
        books.cell[0] = 0


def use_lock(books, seat, things, kind="lock"):
    lock = getattr(things, kind)
    try:
        timed(books, seat, lock.acquire)
    except mpfast.LockOwnerDied:
        if not timed(books, seat, lock.recover):
            return
        note_dead(books, seat)
    section(books, seat)
    lock.release()
    time.sleep(random.random() * 0.001)


def use_condition(books, seat, things, putting):
    """One end of a buffer with room for three. All are notified, as one who is notified may be killed right then."""
    condition, level = things.condition, books.level
    try:
        timed(books, seat, condition.acquire)
        while level[0] == (3 if putting else 0):
            if books.over[0]:
                condition.release()
                return
            condition.wait()
    except mpfast.LockOwnerDied:
        if timed(books, seat, condition.recover):
            condition.release()
        return
    level[0] += 1 if putting else -1
    timed(books, seat, condition.notify_all)
    condition.release()
    time.sleep(random.random() * 0.001)


def use_event(books, seat, things, setting):
    if setting:
        timed(books, seat, things.event.set)
        timed(books, seat, things.event.clear)
        time.sleep(0.001)
    else:
        things.event.wait()


def use_permit(books, seat, things):
    timed(books, seat, things.permits.acquire)
    busy(0.0002)
    things.permits.release()
    time.sleep(random.random() * 0.002)


ROLES = {
    "lock": (use_lock, ()),
    "rlock": (use_lock, ("rlock",)),
    "put": (use_condition, (True,)),
    "get": (use_condition, (False,)),
    "set": (use_event, (True,)),
    "wait": (use_event, (False,)),
    "permit": (use_permit, ()),
}
SEATS = ["lock", "lock", "lock", "put", "put", "get", "get", "set", "wait", "permit", "permit", "permit"]


def work(seat, role, books, things):
    """The life of a worker: until the books say that it is over, or SIGKILL."""
    warnings.simplefilter("ignore")
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    function, args = ROLES[role]
    random.seed(os.getpid())
    while not books.over[0]:
        function(books, seat, things, *args)
        books.add(seat, OPS)


class Storm:
    """`with Storm(ctx) as storm: storm.kill(300)`, then storm.check()."""

    def __init__(self, ctx, roles=SEATS):
        self.ctx, self.roles = ctx, roles
        self.books, self.things = Books(ctx, len(roles)), Things(ctx)
        self.killed, self.noise = [], Noise()
        self.random = random.Random(1)
        self.workers = [self.seat(number) for number in range(len(roles))]

    def seat(self, number):
        process = self.ctx.Process(target=work, args=(number, self.roles[number], self.books, self.things))
        process.start()
        return process

    def ops(self):
        return [self.books.get(seat, OPS) for seat in range(len(self.roles))]

    def wait_for_progress(self):
        """Every worker has done something after this call began: nobody hangs."""
        before = self.ops()
        until(lambda: all(now > then for now, then in zip(self.ops(), before, strict=True)), "everybody goes on")

    def __enter__(self):
        self.noise.__enter__()
        self.wait_for_progress()
        return self

    def kill(self, count, pause=0.02):
        """One after the other, whatever it does at that moment. The replacement must get going before it is killed."""
        for _ in range(count):
            self.kill_one(self.random.randrange(len(self.workers)), self.random.random() * pause)
        self.wait_for_progress()

    def kill_one(self, seat, pause):
        process, ops = self.workers[seat], self.books.get(seat, OPS)
        until(lambda: self.books.get(seat, OPS) > ops, "the victim works")
        time.sleep(pause)
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        self.killed.append(process.pid)
        process.close()
        self.workers[seat] = self.seat(seat)

    def __exit__(self, *_):
        self.books.over[0] = 1
        for _ in itertools.takewhile(lambda _: any(process.is_alive() for process in self.workers), range(2000)):
            self.wake_all()
            time.sleep(0.005)
        self.exitcodes = [process.exitcode for process in self.workers]
        for process in self.workers:
            if process.is_alive():
                process.kill()
            process.join()
            process.close()
        self.noise.__exit__()

    def wake_all(self):
        """Lets those who wait see that it is over."""
        self.things.event.set()
        try:
            self.things.condition.acquire()
            self.things.condition.notify_all()
        except mpfast.LockOwnerDied:
            self.things.condition.recover()
        self.things.condition.release()

    def check(self, limit=0.2):
        seats = range(len(self.roles))
        longest = {f"{seat} {self.roles[seat]}": self.books.get(seat, LONGEST) for seat in seats}
        recovered = [pid for pid in self.books.recovered if pid]
        assert self.exitcodes == [0] * len(self.roles)
        assert sum(self.books.get(seat, FORBIDDEN) for seat in seats) == 0, "two were inside"
        assert len(recovered) == len(set(recovered)), "a death was recovered twice"
        assert set(recovered) <= set(self.killed), "somebody alive was taken for dead"
        assert max(longest.values()) < self.noise.limit(limit), (longest, self.noise.worst)
        return (
            f"{len(self.killed)} kills, {len(recovered)} of them inside, {sum(self.ops()):.0f} operations, "
            f"longest {max(longest.values()) * 1000:.0f} ms, scheduler up to {self.noise.worst * 1000:.0f} ms late"
        )
