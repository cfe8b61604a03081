# SPDX-License-Identifier: MIT
"""How processes end in the tests: normally, by accident, and by force, holding something or not."""

import os
import signal
import threading
import time

from workers import Reference, Returned, invoke, serve


def kill_myself():
    os.kill(os.getpid(), signal.SIGKILL)


def end_holding(lock, how):
    """Acquires, then ends this process in one of many ways."""
    lock.acquire()
    how()


def acquire_all(locks):
    for lock in locks:
        lock.acquire()


_grandchildren = []


def start_grandchild(ctx, lock):
    """Starts a process that acquires the lock and keeps it. Returns its pid once it has."""
    ours, theirs = ctx.Pipe()
    process = ctx.Process(target=serve, args=(theirs, lock))
    process.start()
    theirs.close()
    pid, _ = ours.recv()
    ours.send((invoke, [Reference(0), "acquire"], {}))
    assert ours.recv() == Returned(True)
    _grandchildren.append((process, ours))
    return pid


def reap_grandchildren():
    for process, link in _grandchildren:
        process.join()
        link.close()
    return [process.exitcode for process, link in _grandchildren]


def crash(signum):
    """Ends by a signal, without a core file and without Python's report."""
    import faulthandler
    import resource

    faulthandler.disable()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signum, signal.SIG_DFL)
    signal.raise_signal(signum)
    time.sleep(60)


def end_with(error):
    raise error


def hold_in_thread(lock):
    """Ends while a daemonic thread of this process is inside."""
    threading.Thread(target=lambda: lock.acquire() and time.sleep(60), daemon=True).start()
    while not lock._semlock._is_zero():
        time.sleep(0.001)


def hold_at_exit(lock, seen):
    """Uses the lock as late as a process can, and ends with it."""
    import multiprocessing.util

    def finish():
        seen[0] = lock.acquire(False)

    multiprocessing.util.Finalize(None, finish, exitpriority=-100)


def hold_and_exec(lock, *command):
    lock.acquire()
    os.execv(command[0], command)


def fork_and_hold(lock, end):
    """A child by os.fork(), without multiprocessing's bootstrap. Returns its exit status."""
    pid = os.fork()
    if pid == 0:
        lock.acquire()
        end()
        os._exit(99)
    return os.waitpid(pid, 0)[1]


def hold_and_sleep(lock):
    lock.acquire()
    time.sleep(60)


def acquire_and_die(locks):
    acquire_all(locks)
    os._exit(0)
