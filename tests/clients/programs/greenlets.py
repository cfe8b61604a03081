# SPDX-License-Identifier: MIT
"""greenlets.py PACKAGE METHOD: whether gevent's loop runs during join(), and signals are served during get()."""

import gevent.monkey

if __name__ == "__main__":
    gevent.monkey.patch_all()

import importlib
import os
import signal
import sys
import time


def child(end):
    time.sleep(0.5)
    end.send("done")


def alarm(parent):
    """Two signals. The second one ends the program, if the first has not."""
    time.sleep(0.5)
    os.kill(parent, signal.SIGUSR1)
    time.sleep(5)
    os.kill(parent, signal.SIGTERM)


def main(package, method):
    ctx = importlib.import_module(package).get_context(method)
    ticks = []

    def tick():
        while True:
            ticks.append(1)
            gevent.sleep(0.01)

    ticker = gevent.spawn(tick)
    link, other = ctx.Pipe()
    process = ctx.Process(target=child, args=(other,))
    process.start()
    before = len(ticks)
    process.join()
    print("the loop", "ran" if len(ticks) > before + 10 else "stood", link.recv(), process.exitcode, flush=True)
    ticker.kill()

    def handler(*_):
        print("signal served", flush=True)
        process.kill()
        process.join()
        sys.exit()

    signal.signal(signal.SIGUSR1, handler)
    process = ctx.Process(target=alarm, args=(os.getpid(),))
    process.start()
    gevent.spawn(ctx.Queue().get).join()


if __name__ == "__main__":
    main(*sys.argv[1:])
