# SPDX-License-Identifier: MIT
"""beside.py PACKAGE METHOD: multiprocess, which has an implementation of its own, beside the package in one program."""

import importlib
import sys

import multiprocess


def child(package, method, queue):
    """A child of multiprocess has a child of the package's."""
    ctx = importlib.import_module(package).get_context(method)
    link, other = ctx.Pipe()
    process = ctx.Process(target=other.send, args=("grandchild",))
    process.start()
    queue.put(link.recv())
    process.join()


def main(package, method):
    theirs, ctx = multiprocess.get_context(method), importlib.import_module(package).get_context(method)
    with theirs.Pool(2) as pool, ctx.Pool(2) as ours:
        squares = pool.map(lambda number: number * number, range(4)), ours.map(abs, range(-2, 0))
    queue = theirs.Queue()
    process = theirs.Process(target=child, args=(package, method, queue))
    process.start()
    print(*squares, queue.get(timeout=30), end=" ")
    process.join()
    print(process.exitcode)


if __name__ == "__main__":
    main(*sys.argv[1:])
