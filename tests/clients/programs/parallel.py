# SPDX-License-Identifier: MIT
"""parallel.py PACKAGE METHOD: joblib's backend that uses multiprocessing, with arrays and with an error."""

import importlib
import sys

import joblib
import numpy as np


def total(array):
    return int(array.sum())


def main(package, method):
    importlib.import_module(package).set_start_method(method)
    with joblib.parallel_config("multiprocessing", n_jobs=2):
        sums = joblib.Parallel(max_nbytes=1000)(joblib.delayed(total)(np.full(9_000, n)) for n in range(4))
        try:
            joblib.Parallel()(joblib.delayed(divmod)(1, n) for n in (1, 0))
        except ZeroDivisionError as error:
            print(sums, type(error).__name__)


if __name__ == "__main__":
    main(*sys.argv[1:])
