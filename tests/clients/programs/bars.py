# SPDX-License-Identifier: MIT
"""bars.py PACKAGE METHOD: tqdm around a Pool, with a bar in each worker, and its process_map."""

import importlib
import os
import sys

import tqdm
import tqdm.contrib.concurrent


def double(number):
    with open(os.devnull, "w") as null:
        for _ in tqdm.tqdm(range(3), file=null):
            number += 0
    return number * 2


def main(package, method):
    mp = importlib.import_module(package)
    mp.set_start_method(method)
    with open(os.devnull, "w") as null:
        tqdm.tqdm.set_lock(mp.RLock())
        with mp.Pool(2, initializer=tqdm.tqdm.set_lock, initargs=(tqdm.tqdm.get_lock(),)) as pool:
            doubles = list(tqdm.tqdm(pool.imap(double, range(5)), total=5, file=null))
        more = tqdm.contrib.concurrent.process_map(double, range(5), max_workers=2, file=null)
    print(doubles, more)


if __name__ == "__main__":
    main(*sys.argv[1:])
