# SPDX-License-Identifier: MIT
"""What the tests do with queues, most of it in processes of theirs."""

import importlib
import os
import pickle
import signal
import time
from multiprocessing.connection import wait

from harness import Thread
from jobs import Box, square


def through(q, value):
    """What comes out. A thread puts it, because a pipe may be too small to take it all."""
    putter = Thread(q.put, value)
    result = q.get()
    putter.result()
    return result


def produce(queue, number, count):
    for i in range(count):
        queue.put((number, i))


def produce_by_child(ctx, queue, generations):
    queue.put((generations, 0))
    if generations == 0:
        return
    process = ctx.Process(target=produce_by_child, args=(ctx, queue, generations - 1))
    process.start()
    process.join()
    assert process.exitcode == 0


def put_by_all_ways(queue, nested):
    ways = [queue, nested["list"][0], nested["list"][1][0], nested["object"].content]
    for way in ways:
        way.put(way is queue)


def put_and(queue, item, end):
    queue.put(item)
    end()


def pass_on(queue, other):
    """For ever."""
    while True:
        other.put(queue.get())


def put_when_told(queue, event, item):
    event.wait()
    queue.put(item)


def get_one(queue):
    return queue.get()


def get_under_alarms(queue, count):
    """Gets while a signal comes every millisecond, which raises in get_one(). Returns what came, how often it did."""
    alarms = 0

    def handler(_, frame):
        nonlocal alarms
        if frame.f_code is get_one.__code__:
            alarms += 1
            raise Alarm

    signal.signal(signal.SIGALRM, handler)
    got = []
    signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
    while len(got) < count:
        try:
            got.append(get_one(queue))
        except Alarm:
            continue
    signal.setitimer(signal.ITIMER_REAL, 0)
    return got, alarms


_kept = None


def keep_and_look(queue):
    global _kept
    _kept = queue.get()
    return look_again()


def look_again():
    return bytes(memoryview(_kept.data)[:10])


def echo(there, back, count):
    for _ in range(count):
        back.put(there.get())


def put_when_empty(queue, n):
    for i in range(n):
        while not queue.empty():
            time.sleep(0)
        queue.put(i)


def wait_for_reader(queue):
    return wait([queue._reader]) == [queue._reader]


def map_into(ctx, queue):
    with ctx.Pool(1) as pool:
        queue.put(pool.map(square, range(3)))
        pool.close()
        pool.join()


def use_and_tell(ctx, back, item):
    queue = ctx.Queue()
    for _ in range(10):
        queue.put({"item": item})
        queue.put(b"x" * 100_000)
        queue.get()
        queue.get()
    back.put(item)


def look_at(view, event, back):
    event.wait()
    back.put(bytes(view.data))


def fork_on(queue, generations):
    if generations == 0:
        return
    pid = os.fork()
    if pid == 0:
        queue.put(generations - 1)
        fork_on(queue, generations - 1)
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0


class Alarm(Exception):
    pass


class Buffer:
    """What numpy's arrays do, without numpy."""

    def __init__(self, data):
        self.data = data

    def __reduce_ex__(self, protocol):
        if protocol < 5:
            return Buffer, (bytearray(self.data),)
        return Buffer, (pickle.PickleBuffer(self.data),)

    def __eq__(self, other):
        return bytes(self.data) == bytes(other.data)

    __hash__ = None


class _Puts:
    """Mixin for a Process class."""

    def __init__(self, queue):
        super().__init__()
        self.box = Box(queue)

    def run(self):
        self.box.content.put("from run()")


class _PutsTwice:
    """Mixin for a Queue class, with state of its own."""

    def __init__(self, *args, label, **kwargs):
        self.label = label
        super().__init__(*args, **kwargs)

    def __getstate__(self):
        return super().__getstate__(), self.label

    def __setstate__(self, state):
        state, self.label = state
        super().__setstate__(state)

    def put_twice(self, item):
        self.put(item)
        self.put(item)


def _class(name, *bases):
    return globals().setdefault(name, type(name, bases, {"__module__": __name__}))


def process_class(ctx):
    """A subclass of the context's Process that a spawned child can import."""
    return _class(f"{type(ctx).__module__.partition('.')[0]}_{ctx.get_start_method()}", _Puts, ctx.Process)


def subclass(mp):
    """A subclass of the package's Queue that a spawned child can import."""
    return _class(f"{mp.__name__}_queue", _PutsTwice, importlib.import_module(f"{mp.__name__}.queues").Queue)


def __getattr__(name):
    """In a spawned child those classes do not exist yet when it unpickles one of their objects."""
    package, _, what = name.partition("_")
    if package not in ("multiprocessing", "mpfast"):
        raise AttributeError(name)
    mp = importlib.import_module(package)
    return subclass(mp) if what == "queue" else process_class(mp.get_context(what))
