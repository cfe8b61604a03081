# SPDX-License-Identifier: MIT
"""Processes that fork in unexpected places, and threads that outlive a target."""

import os
import signal
import threading
import time

_forked = []


def fork_sleeper():
    """A child of os.fork that does nothing but live. Returns its pid, which dispose() needs."""
    pid = os.fork()
    if pid == 0:
        signal.pause()
        os._exit(0)
    _forked.append(pid)
    return pid


def dispose():
    while _forked:
        pid = _forked.pop()
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


class ForksWhenPickled:
    def __reduce__(self):
        fork_sleeper()
        return ForksWhenPickled, ()


def hold_in_a_thread(lock, held, let_go=None):
    """The target returns. A thread of the process acquires the lock, and ends when it is let go."""

    def work():
        threading.main_thread().join(0.05)  # which is over with the target by then
        lock.acquire()
        held.set()
        if let_go is None:
            time.sleep(60)
        else:
            let_go.wait()

    threading.Thread(target=work).start()


class EndsWhenUnpickled:
    def __reduce__(self):
        return os._exit, (3,)


def release_when(event, lock):
    event.wait()
    lock.release()
