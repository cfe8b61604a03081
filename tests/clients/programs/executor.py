# SPDX-License-Identifier: MIT
"""executor.py PACKAGE METHOD: loky's executor in a context of the package's, with a worker that is killed."""

import importlib
import os
import signal
import sys

import loky


def square(number):
    return number * number


def kill():
    os.kill(os.getpid(), signal.SIGKILL)


def main(package, method):
    ctx = importlib.import_module(package).get_context(method)
    with loky.ProcessPoolExecutor(2, context=ctx) as executor:
        squares = list(executor.map(square, range(6)))
        try:
            executor.submit(kill).result()
        except loky.process_executor.TerminatedWorkerError as error:
            print(squares, type(error).__name__)


if __name__ == "__main__":
    main(*sys.argv[1:])
