# SPDX-License-Identifier: MIT
"""children.py PACKAGE METHOD [SECONDS]: two children that are busy. Debuggers, tracers and profilers look at them."""

import importlib
import multiprocessing.forkserver
import multiprocessing.resource_tracker
import sys
import time


def target(seconds):
    number, end = 0, time.monotonic() + seconds
    while number == 0 or time.monotonic() < end:
        number += 1
    return number + 1  # a breakpoint


def main(package, method, seconds=0):
    ctx = importlib.import_module(package).get_context(method)
    processes = [ctx.Process(target=target, args=(float(seconds),)) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    print(*[process.exitcode for process in processes], flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
    # A debugger and a profiler wait for these processes of multiprocessing's, which wait for this one.
    multiprocessing.forkserver._forkserver._stop()
    multiprocessing.resource_tracker._resource_tracker._stop()
