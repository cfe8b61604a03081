# SPDX-License-Identifier: MIT
"""A program with a pool that replaces its workers, while one process that takes part in it is killed (preload/step.c).

It prints the outcomes of its tasks as JSON, and how many more descriptors it has in the end.
"""

import json
import os
import signal

import mpfast

PATIENCE = 20
ROUNDS = 3


def descriptors():
    return len(os.listdir("/proc/self/fd"))


def die():
    os.kill(os.getpid(), signal.SIGKILL)


def outcome(pool, function, *args):
    try:
        return pool.apply_async(function, args).get(PATIENCE)
    except mpfast.WorkerDied as error:
        return f"died of {-error.exitcode}"


def play(ctx):
    pool = ctx.Pool(1)
    outcomes = []
    for n in range(ROUNDS):
        outcomes += [outcome(pool, die), outcome(pool, abs, -n)]
    pool.close()
    pool.join()
    return outcomes


def main():
    ctx = mpfast.get_context("fork")
    ctx.Lock()  # the family's own descriptors
    before = descriptors()
    outcomes = play(ctx)
    print(json.dumps({"outcomes": outcomes, "descriptors": descriptors() - before}), flush=True)


if __name__ == "__main__":
    main()
