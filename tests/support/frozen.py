# SPDX-License-Identifier: MIT
"""A program to freeze: `frozen METHOD`. The environment's FROZEN says on what it and its children run.

"multiprocessing", "mpfast", or "install" for multiprocessing after mpfast.install().
"""

import multiprocessing
import os
import sys

mp = multiprocessing
if os.environ["FROZEN"] != "multiprocessing":
    import mpfast

    mp = mpfast


def child(queue, lock, link):
    with lock:
        queue.put(multiprocessing.current_process().name.split("-")[0])
    link.send(type(lock).__module__.partition(".")[0])


def main(method):
    ctx = mp.get_context(method)
    queue, lock, (link, other) = ctx.Queue(), ctx.Lock(), ctx.Pipe()
    process = ctx.Process(target=child, args=(queue, lock, other))
    process.start()
    print(queue.get(timeout=60), link.recv())
    process.join()
    print(process.exitcode)
    with ctx.Pool(1) as pool:
        print(pool.map(abs, [-1, -2]))


if __name__ == "__main__":
    mp.freeze_support()
    if os.environ["FROZEN"] == "install":
        mp.install()
        mp = multiprocessing
    main(sys.argv[1])
