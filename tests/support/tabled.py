# SPDX-License-Identifier: MIT
"""What children do with shared Dicts and Lists, or with the proxies of managers."""

import os
import signal
import threading


def new_dict(makers, *args, **kwargs):
    """Of mpfast.shared, or of a manager."""
    return (makers.Dict if hasattr(makers, "Dict") else makers.dict)(*args, **kwargs)


def new_list(makers, *args):
    return (makers.List if hasattr(makers, "List") else makers.list)(*args)


class Point:
    """A value that is pickled by name."""

    def __init__(self, x, y):
        self.x, self.y = x, y

    def __eq__(self, other):
        return type(other) is Point and (self.x, self.y) == (other.x, other.y)

    __hash__ = None


class Uses:
    """Its pickling and its unpickling use the Dict in which it lies."""

    table = None

    def __reduce__(self):
        Uses.table["pickled"] = Uses.table.get("pickled", 0) + 1
        return remade, ()


def remade():
    Uses.table["unpickled"] = Uses.table.get("unpickled", 0) + 1
    return Uses()


class Refuses:
    """Cannot be unpickled as long as a flag says so."""

    refusing = True

    def __reduce__(self):
        return refuse, ()


def refuse():
    if Refuses.refusing:
        raise ValueError("refused")
    return "at last"


def get(table, key):
    return table[key]


def put(table, key, value):
    table[key] = value


def delete(table, key):
    del table[key]


def content(table):
    return table._getvalue()


def fill(table, prefix, n):
    for i in range(n):
        table[f"{prefix}{i}"] = i


def add_many(table, key, n):
    for _ in range(n):
        table.add(key)


def add_locked(table, key, n):
    """The same by hand, under the lock."""
    for _ in range(n):
        with table:
            table[key] = table.get(key, 0) + 1


def append_many(items, value, n):
    for i in range(n):
        items.append((value, i))


def compete(table, key, n):
    """Adds by compare_exchange() alone."""
    done = 0
    while done < n:
        old = table[key]
        done += table.compare_exchange(key, old, old + 1)


def enter_and_die(table):
    with table:
        table["half"] = "done"
        os.kill(os.getpid(), signal.SIGKILL)


def fork_and_kill(table):
    """Holds the lock when it forks. The child, which does not, is killed at once."""
    with table:
        pid = os.fork()
        if pid == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        os.waitpid(pid, 0)
        table["forked"] = True


def enter_and_wait(table, entered, leave):
    with table:
        entered.set()
        leave.wait(60)


VALUES = (1, "text", (1, 2.5, "x"), b"x" * 3000, {"a": [1, 2]}, list(range(500)), 2**70, None)


def write_until_killed(table, link):
    """Every kind of change, over and over, to 32 keys. Each value has its key, so that a torn one shows."""
    link.send(None)
    i = 0
    while True:
        key = i * 7 % 32
        kind = i % 16
        if kind < 10:
            table[key] = (key, VALUES[i % len(VALUES)])
        elif kind < 12:
            table.pop(key, None)
        elif kind < 13:
            table.update({key: (key, "update"), (key + 1) % 32: ((key + 1) % 32, "update")})
        elif kind < 14:
            table.setdefault(key, (key, "default"))
        elif i % 1600 == 14:
            table.clear()
        i += 1


def append_until_killed(items, link):
    """Every kind of change. The items are 0, 1, 2, ... after each of them, so that a half change shows."""
    link.send(None)
    while True:
        n = len(items)
        items.extend(range(n, n + 7))
        items.append(n + 7)
        items[n] = n
        items[3:5] = [3, 4]
        items[::2] = range(0, n + 8, 2)
        items.pop()
        if n > 200:
            del items[100:]


def torn(table):
    """What no writer has stored under its key."""
    found = [(key, value) for key, value in table.items() if value[0] != key]
    values = ((key, table.get(key)) for key in range(32))
    return found + [(key, value) for key, value in values if value is not None and value[0] != key]


def read_until(table, stop):
    """Reads until it is told to stop. Returns how often, and what it should not have seen."""
    reads, wrong = 0, []
    while not stop.is_set():
        wrong += torn(table)
        reads += 1
    return reads, wrong


def enter(table):
    table.__enter__()


def add_one(table):
    if hasattr(table, "append"):
        table.append(1)
    else:
        table["one"] = 1


def put_slowly(table):
    """By what waits in other ways."""
    if hasattr(table, "append"):
        table.sort()
        table.extend([1, 2])
    else:
        table.update(a=1)


def leave(table):
    table.__exit__(None, None, None)


def two_threads(function, *args):
    threads = [threading.Thread(target=function, args=args) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def wait_for_key(table, changed, key):
    with changed:
        changed.wait_for(lambda: key in table)
        return table[key]
