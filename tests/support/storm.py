# SPDX-License-Identifier: MIT
"""A storm of SIGKILLs on processes that hold, wait and notify, and the books that are kept meanwhile.

The section under the lock begins with the worker's pid written into a cell that must be 0, and ends with 0. A worker
that enters by acquire() and finds something else has company, or was let in behind a dead holder's back. Only recover()
may find a pid there, that of the killed holder, and finds each one once.
"""

import os
import random
import signal
import time
import warnings

from crew import FORBIDDEN, LONGEST, OPS, Crew, Rows, timed

import mpfast

RECOVERIES = 4096


class Books(Rows):
    """Beside the rows, the cell of the section, the pids with a recovered section, and the level of the buffer."""

    def __init__(self, ctx, seats):
        super().__init__(ctx, seats)
        self.cell = ctx.RawArray("q", 2)
        self.recovered = ctx.RawArray("q", RECOVERIES)
        self.level = ctx.RawArray("q", 1)


class Things:
    def __init__(self, ctx):
        self.lock = ctx.Lock()
        self.rlock = ctx.RLock()
        self.condition = ctx.Condition(ctx.Lock())
        self.event = ctx.Event()
        self.permits = ctx.BoundedSemaphore(2)


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
    """Notes the pid with the section that was cut off, before the cell is used again."""
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
    """One end of a buffer with room for three. All are notified, because a notified waiter may be killed right then."""
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


class Storm(Crew):
    """`with Storm(ctx) as storm: storm.kill(300)`, then storm.check()."""

    def __init__(self, ctx, roles=SEATS):
        super().__init__(ctx, roles, work, Books(ctx, len(roles)), Things(ctx))

    def let_go(self):
        self.things.event.set()
        try:
            self.things.condition.acquire()
            self.things.condition.notify_all()
        except mpfast.LockOwnerDied:
            self.things.condition.recover()
        self.things.condition.release()

    def check(self, limit=0.2):
        longest = {f"{seat} {role}": self.books.get(seat, LONGEST) for seat, role in enumerate(self.roles)}
        recovered = [pid for pid in self.books.recovered if pid]
        assert self.exitcodes == [0] * len(self.roles)
        assert sum(self.column(FORBIDDEN)) == 0, "two were inside"
        assert len(recovered) == len(set(recovered)), "a death was recovered twice"
        assert set(recovered) <= {pid for _, pid in self.killed}, "a living process was taken for dead"
        assert max(longest.values()) < self.noise.limit(limit), (longest, self.noise.worst)
        return (
            f"{len(self.killed)} kills, {len(recovered)} of them inside, {sum(self.column(OPS)):.0f} operations, "
            f"longest {max(longest.values()) * 1000:.0f} ms, scheduler up to {self.noise.worst * 1000:.0f} ms late"
        )
