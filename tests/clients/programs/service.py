# SPDX-License-Identifier: MIT
"""service.py PACKAGE METHOD: becomes a daemon, which closes all descriptors, when the first lock is there already."""

import atexit
import glob
import importlib
import multiprocessing
import os
import sys

import daemon


def child(lock, queue, number):
    with lock:
        queue.put(number)


def remove_names():
    """multiprocessing leaves the names of semaphores for which it cannot start a tracker."""
    prefix = f"/client-{os.getpid()}"
    multiprocessing.current_process()._config["semprefix"] = prefix
    atexit.register(lambda: [os.unlink(name) for name in glob.glob(f"/dev/shm/sem.{prefix[1:]}-*")])


def main(package, method):
    mp = importlib.import_module(package)
    ctx = mp.get_context(method)
    with ctx.Lock():
        pass
    with daemon.DaemonContext(stdout=sys.stdout, stderr=sys.stderr, working_directory=".", detach_process=True):
        remove_names()
        lock, queue = ctx.Lock(), ctx.Queue()
        processes = [ctx.Process(target=child, args=(lock, queue, number)) for number in range(2)]
        for process in processes:
            process.start()
        numbers = sorted(queue.get(timeout=20) for _ in processes)
        for process in processes:
            process.join()
        pool = ctx.Pool(2)
        print("queue", numbers, "pool", pool.map(abs, [-1, -2]), *[process.exitcode for process in processes])
        pool.close()  # terminate() would send SIGTERM, for which a daemon has a handler that speaks
        pool.join()


if __name__ == "__main__":
    main(*sys.argv[1:])
