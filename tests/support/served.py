# SPDX-License-Identifier: MIT
"""What children do with the proxies of a manager. Few imports, because every spawned child pays for them."""

import contextlib
import os
import subprocess
import sys
import threading


def wrong_answers(mapping, key, value, times=300):
    """How many answers were another's."""
    return sum(mapping[key] != value for _ in range(times))


def wrong_in_both(mapping, times=300):
    """The wrong answers in this process and in a child of os.fork(), which both call all the time."""
    mapping["parent"], mapping["child"] = 1, 2
    pid = os.fork()
    if pid == 0:
        wrong = 255
        try:
            wrong = min(wrong_answers(mapping, "child", 2, times), 254)
        finally:
            os._exit(wrong)
    wrong = wrong_answers(mapping, "parent", 1, times)
    return wrong, os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def in_threads(function, *args, count=4):
    """What the function returned in each of several threads that run at once."""
    results = []
    threads = [threading.Thread(target=lambda: results.append(function(*args))) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def wrong_in_threads(mapping, key, value):
    return in_threads(wrong_answers, mapping, key, value)


def forked_in_a_thread(mapping):
    return in_threads(wrong_in_both, mapping, count=1)[0]


def nested(mapping):
    """Through a proxy that lies in the manager's dict."""
    return wrong_in_both(mapping["inner"])


def task(arguments):
    """For a pool: one call of a proxy that comes with the task."""
    mapping, number = arguments
    mapping[number] = number
    return mapping[number], os.getpid()


class Odd:
    """An object for a manager, whose methods do what is hard to bring home."""

    def __init__(self, fail=False):
        if fail:
            raise LookupError("not to be made")

    def answer(self, value=42, *, more=0):
        return value + more

    def fails(self):
        raise LookupError("no such thing")

    def unpicklable(self):
        return threading.Lock()

    def unloadable(self):
        return Unloadable()

    def ends(self):
        os._exit(3)

    def inner(self):
        return {"a": 1}


def _refuse_to_load():
    raise OSError("this does not unpickle")


class Unloadable:
    def __reduce__(self):
        return _refuse_to_load, ()


SERVER = """
import sys
sys.modules["mpfast"] = None  # as if it were not installed
from multiprocessing.managers import SyncManager
server = SyncManager(eval(sys.argv[1]), authkey=b"key").get_server()
print(repr(server.address), flush=True)
server.serve_forever()
"""


@contextlib.contextmanager
def serving_stdlib(address):
    """A server of multiprocessing, in a program without mpfast: its address and its key."""
    with subprocess.Popen([sys.executable, "-c", SERVER, repr(address)], stdout=subprocess.PIPE, text=True) as server:
        try:
            yield eval(server.stdout.readline()), b"key"
        finally:
            server.kill()
