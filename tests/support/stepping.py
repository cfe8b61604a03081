# SPDX-License-Identifier: MIT
"""A program that starts processes while one of those who take part in that is killed (preload/step.c): prints, as JSON,
their exit codes, the errors of start(), and how many descriptors it has more in the end."""

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
