# SPDX-License-Identifier: MIT
"""A program that starts processes while a process that takes part in it is killed (preload/step.c). It prints, as JSON,
the exit codes, the errors of start(), and how many more descriptors it has in the end."""

import json
import os
import sys

import mpfast

PATIENCE = 20


def descriptors():
    return len(os.listdir("/proc/self/fd"))


def main():
    ctx = mpfast.get_context("forkserver")
    codes, errors = [], []
    before = descriptors()
    for _ in range(3):
        process = ctx.Process(target=sys.exit, args=(5,), daemon=True)
        try:
            process.start()
        except (EOFError, OSError) as e:
            errors.append(str(e))
            continue
        process.join(PATIENCE)
        codes.append(process.exitcode)
        process.close()
    processes = [ctx.Process(target=sys.exit, args=(5,)) for _ in range(3)]
    ctx.start_many(processes)
    for process in processes:
        process.join(PATIENCE)
        codes.append(process.exitcode)
        process.close()
    print(json.dumps({"codes": codes, "errors": errors, "descriptors": descriptors() - before}), flush=True)


if __name__ == "__main__":
    main()
