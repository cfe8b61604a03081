# SPDX-License-Identifier: MIT
"""A storm of SIGKILLs and SIGSTOPs on the workers of a pool, and the books that are kept meanwhile.

Every element has a number, and a byte in shared memory counts how often it was begun. The callers note its outcome,
which is its result, a WorkerDied, or a TaskTimeout if it has a limit and is made to be slow. Each element must have one
outcome, none may be begun twice, and there are at most as many WorkerDied as there were kills, each with the pid of
another victim. In the end the process has about as much memory as before.
"""

import itertools
import os
import random
import signal
import threading
import time
from collections import Counter
from contextlib import contextmanager

from harness import PATIENCE, Noise, Thread, until

import mpfast

SPAN = 1 << 20  # elements of a whole storm
SIZES = [0] * 8 + [1, 100, 5000, 70_000]
STOPPED = 0.02  # seconds
LIMIT = 0.3  # of those that have a timeout,
SLOW = 30.0  # and how long one of them takes that is to be ended
GROWTH = 24 << 20  # bytes of private memory that may be more in the end. The books themselves are some of it
_runs = None


def keep(runs):
    """The workers' initializer."""
    global _runs
    _runs = runs


def run(element):
    """A task of some microseconds up to some milliseconds. The result says its number twice."""
    number, content = element
    _runs[number] += 1
    if number % 7 == 0:
        time.sleep(0.001)
    return number, content, number


def run_slowly(element):
    """A task that has to be ended."""
    _runs[element[0]] += 1
    time.sleep(SLOW)


def footprint():
    """The private memory of this process in bytes."""
    with open("/proc/self/statm") as file:
        _, resident, shared, *_ = map(int, file.read().split())
    return (resident - shared) * os.sysconf("SC_PAGESIZE")


class Books:
    def __init__(self, ctx):
        self.runs = ctx.RawArray("B", SPAN)
        self.numbers = itertools.count()
        self.outcomes = Counter()  # of those elements whose outcomes are told one by one
        self.died, self.wrong, self.lost_maps, self.ended = [], [], 0, 0
        self.lock = threading.Lock()

    def element(self, chance):
        with self.lock:
            number = next(self.numbers)
        assert number < SPAN, "the storm is longer than its books"
        return number, bytes(chance.choice(SIZES))

    def result(self, element, got):
        with self.lock:
            self.outcomes[element[0]] += 1
            if got != (*element, element[0]):
                self.wrong.append((element[0], got))

    def death(self, number, error):
        with self.lock:
            if number is not None:
                self.outcomes[number] += 1
            self.died.append(error.pid)

    def timeout(self, number):
        with self.lock:
            self.outcomes[number] += 1
            self.ended += 1


class Caller:
    """A thread that hands out work in every way, until it is over."""

    def __init__(self, pool, books, seed):
        self.pool, self.books, self.chance = pool, books, random.Random(seed)
        self.rounds = 0

    def elements(self, count):
        return [self.books.element(self.chance) for _ in range(count)]

    def singles(self):
        elements = self.elements(20)
        results = [self.pool.apply_async(run, (element,)) for element in elements]
        for element, result in zip(elements, results, strict=True):
            self.note(element, lambda result=result: result.get(PATIENCE))

    def apply(self):
        for element in self.elements(3):
            self.note(element, lambda element=element: self.pool.apply(run, (element,)))

    def limited(self):
        """Some with a limit, one of which is too slow. A worker that was stopped may make others late as well."""
        elements = self.elements(4)
        calls = [run_slowly, run, run, run]
        results = [
            self.pool.apply_async(call, (element,), timeout=LIMIT)
            for call, element in zip(calls, elements, strict=True)
        ]
        for element, result in zip(elements, results, strict=True):
            self.note(element, lambda result=result: result.get(PATIENCE))

    def iterate(self):
        elements = self.elements(60)
        iterator = self.pool.imap(run, elements)
        for element in elements:
            self.note(element, lambda: iterator.next(PATIENCE))

    def unordered(self):
        """Only a result says which element it is of. The others must be the dead."""
        left = {element[0]: element for element in self.elements(60)}
        iterator, dead = self.pool.imap_unordered(run, list(left.values())), []
        for _ in range(len(left)):
            try:
                got = iterator.next(PATIENCE)
            except mpfast.WorkerDied as error:
                dead.append(error)
            else:
                self.books.result(left.pop(got[0], (got[0], b"twice")), got)
        for number, error in zip(left, dead, strict=True):
            self.books.death(number, error)

    def map(self):
        """Tells one death at most. What has become of the elements, the runs say."""
        elements = self.elements(60)
        chunksize = self.chance.choice([None, 1, 7])
        try:
            found = self.pool.map(run, elements, chunksize)
        except mpfast.WorkerDied as error:
            self.books.death(None, error)
            with self.books.lock:
                self.books.lost_maps += 1
                self.books.outcomes.update(element[0] for element in elements)
        else:
            for element, got in zip(elements, found, strict=True):
                self.books.result(element, got)

    def note(self, element, call):
        try:
            self.books.result(element, call())
        except mpfast.TaskTimeout:
            self.books.timeout(element[0])
        except mpfast.WorkerDied as error:
            self.books.death(element[0], error)

    def work(self, over):
        while not over.is_set():
            ways = ["singles", "apply", "iterate", "unordered", "map"] * 4 + ["limited"]
            getattr(self, self.chance.choice(ways))()
            self.rounds += 1


def ready(pool):
    """The workers that have started. Of those with one task each most have not, and three in a row end a pool."""
    numbers = list(pool._desk.crew.numbers.items())
    return [worker for number, worker in numbers if pool._desk.state_of(number) == 1]


@contextmanager
def victim(pool, chance, workers):
    """A worker that is alive, and a descriptor of it, so that no other process can get its signal."""
    while True:
        worker = chance.choice(list(workers(pool)) or [None])
        try:
            fd = os.pidfd_open(worker.pid)
        except (AttributeError, ProcessLookupError):
            time.sleep(0.001)
            continue
        try:
            if worker.is_alive() and worker in pool._pool:  # it was this one's pid when the descriptor was opened
                yield worker, fd
                return
        finally:
            os.close(fd)


class PoolStorm:
    """`with PoolStorm(ctx) as storm: storm.kill(300)`, then storm.check()."""

    def __init__(self, ctx, workers=3, callers=2, stop_every=5, **options):
        self.before, self.stop_every = footprint(), stop_every
        self.books, self.chance = Books(ctx), random.Random(1)
        self.workers = ready if options.get("maxtasksperchild") == 1 else lambda pool: pool._pool
        self.pool = ctx.Pool(workers, keep, (self.books.runs,), **options)
        self.callers = [Caller(self.pool, self.books, seed) for seed in range(callers)]
        self.over, self.noise = threading.Event(), Noise()
        self.killed, self.stops = set(), 0

    def __enter__(self):
        self.noise.__enter__()
        self.threads = [Thread(caller.work, self.over) for caller in self.callers]
        self.progress()
        return self

    def progress(self):
        """Elements have an outcome after this call began."""
        before = self.books.outcomes.total()
        until(lambda: self.books.outcomes.total() > before, "somebody goes on")

    def go_on(self, tasks):
        """Until so many elements were begun."""
        until(lambda: self.books.outcomes.total() >= tasks, f"{tasks} tasks are done", 20 * PATIENCE)

    def kill(self, count):
        for number in range(1, count + 1):
            time.sleep(self.chance.random() * 0.02)  # a random moment, not a wait
            with victim(self.pool, self.chance, self.workers) as (worker, fd):
                pid = worker.pid
                try:
                    if number % self.stop_every == 0:
                        self.stop(fd)
                    if number % (2 * self.stop_every):
                        signal.pidfd_send_signal(fd, signal.SIGKILL)
                        self.killed.add(pid)
                except ProcessLookupError:
                    pass  # it has left by itself, with maxtasksperchild
            self.progress()

    def stop(self, fd):
        """For a moment. The others go on."""
        signal.pidfd_send_signal(fd, signal.SIGSTOP)
        self.stops += 1
        time.sleep(STOPPED)
        signal.pidfd_send_signal(fd, signal.SIGCONT)

    def __exit__(self, *_):
        self.over.set()
        self.rounds = [
            thread.join(3 * PATIENCE) or caller.rounds
            for thread, caller in zip(self.threads, self.callers, strict=True)
        ]
        self.pool.close()
        self.pool.join()
        self.noise.__exit__()

    def check(self):
        for thread in self.threads:
            thread.result()
        books = self.books
        begun = next(books.numbers)
        runs, more = books.runs[:begun], any(books.runs[begun:])
        twice = [number for number, count in enumerate(runs) if count > 1]
        never = [number for number, count in enumerate(runs) if count == 0]
        assert not books.wrong, books.wrong[:5]
        assert set(books.outcomes.values()) <= {1}, "an element had two outcomes"
        assert len(books.outcomes) == begun, "an element had no outcome"
        assert not twice, f"begun twice: {twice[:5]}"
        assert not more
        assert len(never) <= len(self.killed), f"{len(never)} elements were not begun"
        assert len(books.died) == len(set(books.died)), "one death was told twice"
        assert set(books.died) <= self.killed, "a living worker was taken for dead"
        assert not self.pool._cache
        after = footprint()
        assert after <= self.before + GROWTH, f"memory: {self.before} bytes, then {after}"
        return (
            f"{len(self.killed)} kills, {self.stops} stops, {begun} elements, {len(books.died)} died with them,"
            f" {books.ended} timeouts, {books.lost_maps} maps raised,"
            f" scheduler up to {self.noise.worst * 1000:.0f} ms late"
        )
