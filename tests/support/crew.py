# SPDX-License-Identifier: MIT
"""What storms have in common, workers that are killed and replaced, and the books that they keep meanwhile.

Every worker has a seat. The seat's row of the books survives it. A killed worker is replaced at once.
"""

import itertools
import os
import random
import signal
import time

from harness import Noise, until

OPS, LONGEST, FORBIDDEN, OWN = COLUMNS = range(4)  # OWN means what the storm wants


class Rows:
    """Shared doubles, a row per seat, and whether it is over."""

    def __init__(self, ctx, seats):
        self.rows = ctx.RawArray("d", seats * len(COLUMNS))
        self.over = ctx.RawArray("q", 1)

    def get(self, seat, column):
        return self.rows[seat * len(COLUMNS) + column]

    def add(self, seat, column, value=1):
        self.rows[seat * len(COLUMNS) + column] += value

    def took(self, seat, seconds):
        index = seat * len(COLUMNS) + LONGEST
        self.rows[index] = max(self.rows[index], seconds)


def timed(books, seat, function, *args):
    """Calls it and enters into the books how long it took, whether it returned or raised."""
    begin = time.monotonic()
    try:
        return function(*args)
    finally:
        books.took(seat, time.monotonic() - begin)


class Crew:
    """`with Crew(...) as crew: crew.kill(300)`. A worker is work(seat, role, books, things) in a process."""

    STOP_EVERY = 0  # one in so many victims is stopped first

    def __init__(self, ctx, roles, work, books, things):
        self.ctx, self.roles, self.work, self.books, self.things = ctx, roles, work, books, things
        self.killed, self.stops, self.noise = [], 0, Noise()  # killed: (role, pid)
        self.random = random.Random(1)
        self.workers = [self.seat(number) for number in range(len(roles))]

    def seat(self, number):
        args = (number, self.roles[number], self.books, self.things)
        process = self.ctx.Process(target=self.work, args=args)
        process.start()
        return process

    def column(self, column):
        return [self.books.get(seat, column) for seat in range(len(self.roles))]

    def wait_for_progress(self, but=()):
        """Every worker has done something after this call began, so none hangs."""
        before = self.column(OPS)
        rest = [seat for seat in range(len(self.roles)) if seat not in but]
        until(lambda: all(self.books.get(seat, OPS) > before[seat] for seat in rest), "everybody goes on")

    def __enter__(self):
        self.noise.__enter__()
        self.wait_for_progress()
        return self

    def kill(self, count, pause=0.02):
        """One after the other, whatever it does at that moment. The replacement must get going before it is killed."""
        for n in range(1, count + 1):
            stop = self.STOP_EVERY and n % self.STOP_EVERY == 0
            self.kill_one(self.random.randrange(len(self.workers)), self.random.random() * pause, stop)
        self.wait_for_progress()

    def kill_one(self, seat, pause, stop):
        """If it is stopped first, the others go on without it."""
        process, ops = self.workers[seat], self.books.get(seat, OPS)
        until(lambda: self.books.get(seat, OPS) > ops, "the victim works")
        time.sleep(pause)
        if stop:
            os.kill(process.pid, signal.SIGSTOP)
            self.stops += 1
            self.wait_for_progress(but=[seat])
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        self.killed.append((self.roles[seat], process.pid))
        process.close()
        self.workers[seat] = self.seat(seat)

    def __exit__(self, *_):
        self.books.over[0] = 1
        for _ in itertools.takewhile(lambda _: any(process.is_alive() for process in self.workers), range(2000)):
            self.let_go()
            time.sleep(0.005)
        self.exitcodes = [process.exitcode for process in self.workers]
        for process in self.workers:
            if process.is_alive():
                process.kill()
            process.join()
            process.close()
        self.noise.__exit__()

    def let_go(self):
        """Lets the waiters see that it is over."""
        raise NotImplementedError
