# SPDX-License-Identifier: MIT
"""A storm of SIGKILLs and SIGSTOPs on processes that put and get, and the books that are kept meanwhile.

Every item has a number, which says its putter and which of its items it is. The books survive their writers: what was
begun, what put() has returned from, what came. A killed putter may leave one item that it never knew to be put. A
killed getter takes at most what it was getting with it. Everything else must come once, whole and in order.
"""

import os
import queue
import random
import signal
import time
from contextlib import suppress
from functools import partial

from crew import FORBIDDEN, LONGEST, OPS, OWN, Crew, Rows, timed

BEGUN = OWN  # the number of items
SPAN = 1 << 20  # items of one putter
BATCH = 3
PUT, REFUSED = 1, 2
ENOUGH = 4096  # with as many items in the queue the putters pause
SIZES = [0] * 12 + [1, 40, 1000, 5000, 70_000, 300_000]


class Books(Rows):
    """Beside the rows, a byte for each item says what its putter knows, and another which worker got it."""

    def __init__(self, ctx, seats):
        super().__init__(ctx, seats)
        self.known = ctx.RawArray("B", seats * SPAN)
        self.got = ctx.RawArray("B", seats * SPAN)

    def number(self, seat):
        """Of the next item: one that a killed putter had begun is never used again."""
        begun = int(self.get(seat, BEGUN))
        assert begun < SPAN, "the storm is longer than its books"
        self.add(seat, BEGUN)
        return seat * SPAN + begun


def make(number, chance):
    """An item that says its number at both ends: in its slot, small, or so large that it has a block of its own."""
    size = chance.choice(SIZES)
    if size == 0:
        return number
    return number, bytearray(number.to_bytes(4, "little") * (size // 4 + 1)), number


def number_of(item):
    """The item's number, or -1 if it is damaged."""
    if isinstance(item, int):
        return item
    number, content, again = item
    whole = number == again and bytes(content) == number.to_bytes(4, "little") * (len(content) // 4)
    return number if whole else -1


class Putter:
    def __init__(self, seat, books, q):
        self.seat, self.books, self.q = seat, books, q
        self.chance = random.Random(os.getpid())

    def put(self, item, number, **how):
        try:
            timed(self.books, self.seat, partial(self.q.put, item, **how))
            self.books.known[number] = PUT
        except queue.Full:
            self.books.known[number] = REFUSED

    def pause(self):
        """The numbers are to last, and the getters to have a chance."""
        time.sleep(0.01 if self.q.qsize() > ENOUGH else self.chance.random() * 0.0005)

    def work(self):
        self.pause()
        number = self.books.number(self.seat)
        how = self.chance.choice([{}, {}, {"timeout": 0.002}, {"block": False}])
        self.put(make(number, self.chance), number, **how)


class ManyPutter(Putter):
    def work(self):
        self.pause()
        numbers = [self.books.number(self.seat) for _ in range(BATCH)]
        timed(self.books, self.seat, self.q.put_many, [make(number, self.chance) for number in numbers])
        for number in numbers:
            self.books.known[number] = PUT


class Getter:
    """Knows the last number that it has from each putter: the next one must be higher."""

    def __init__(self, seat, books, q):
        self.seat, self.books, self.q = seat, books, q
        self.chance, self.last = random.Random(os.getpid()), {}

    def note(self, item):
        number = number_of(item)
        if number < 0 or self.last.get(number // SPAN, -1) >= number or self.books.got[number]:
            self.books.add(self.seat, FORBIDDEN)
            return
        self.last[number // SPAN] = number
        self.books.got[number] = 1 + self.seat

    def work(self):
        how = self.chance.choice([{}, {}, {"timeout": 0.002}, {"block": False}])
        with suppress(queue.Empty):
            item = timed(self.books, self.seat, partial(self.q.get, **how))
            if item is not None:
                self.note(item)


class ManyGetter(Getter):
    def work(self):
        for item in timed(self.books, self.seat, self.q.get_many, BATCH):
            if item is not None:
                self.note(item)


class Keeper(Getter):
    """Holds what it got for a while: views into shared memory, if the queue gives such."""

    def work(self):
        kept = [item for item in timed(self.books, self.seat, self.q.get_many, BATCH) if item is not None]
        time.sleep(self.chance.random() * 0.005)
        for item in kept:
            self.note(item)


ROLES = {"put": Putter, "put_many": ManyPutter, "get": Getter, "get_many": ManyGetter, "keep": Keeper}
LOSES = {"get": 1, "get_many": BATCH, "keep": BATCH}  # how much a kill may cost
LEAVES = {"put": 1, "put_many": BATCH}  # and how much of the unknown it may leave
SEATS = ["put", "put", "put_many", "get", "get", "get_many", "keep"]


def serve(seat, role, books, q):
    """The life of a worker: until the books say that it is over, or SIGKILL."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    worker = ROLES[role](seat, books, q)
    while not books.over[0]:
        worker.work()
        books.add(seat, OPS)


class QueueStorm(Crew):
    """`with QueueStorm(ctx, q) as storm: storm.kill(300)`, then storm.check(). The queue stays the caller's."""

    STOP_EVERY = 10

    def __init__(self, ctx, q, roles=SEATS):
        super().__init__(ctx, roles, serve, Books(ctx, len(roles)), q)

    def let_go(self):
        """Lets the waiters see that it is over, by an item for each getter and room for each putter."""
        if any(process.is_alive() and "put" in role for process, role in zip(self.workers, self.roles, strict=True)):
            self.drain(20)
        else:
            with suppress(queue.Full):
                self.things.put(None, block=False)

    def drain(self, most):
        """Drains the queue. Everything that is left must be there."""
        getter = Getter(0, self.books, self.things)
        with suppress(queue.Empty):
            for _ in range(most):
                item = self.things.get(block=False)
                if item is not None:
                    getter.note(item)

    def check(self, limit=3.0):
        self.drain(len(self.roles) * SPAN)
        begun = [seat * SPAN + n for seat in range(len(self.roles)) for n in range(int(self.books.get(seat, BEGUN)))]
        known, got = self.books.known, self.books.got
        lost = [number for number in begun if known[number] == PUT and not got[number]]
        left = [number for number in begun if not known[number] and got[number]]
        refused = [number for number in begun if known[number] == REFUSED and got[number]]
        longest = max(self.column(LONGEST))
        assert self.exitcodes == [0] * len(self.roles)
        assert sum(self.column(FORBIDDEN)) == 0, "items came twice, damaged, or in the wrong order"
        assert not refused, "put() raised Full, and the item came"
        assert len(lost) <= self.most(LOSES), f"{len(lost)} items were lost: {lost[:5]}"
        assert len(left) <= self.most(LEAVES), f"{len(left)} items came that put() had not returned from: {left[:5]}"
        assert longest < self.noise.limit(limit), f"a call took {longest} s"
        return (
            f"{len(self.killed)} kills, {self.stops} stops, {len(begun)} items, {len(lost)} died with their getters,"
            f" {len(left)} outlived their putters, longest call {longest * 1000:.0f} ms,"
            f" scheduler up to {self.noise.worst * 1000:.0f} ms late"
        )

    def most(self, per_kill):
        return sum(per_kill.get(role, 0) for role, _ in self.killed)
