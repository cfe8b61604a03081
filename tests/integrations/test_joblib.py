# SPDX-License-Identifier: MIT
"""joblib on mpfast's executor, beside joblib on its own backends."""

import multiprocessing
import os
import time

import pooled
import pytest
from harness import until

import mpfast

joblib = pytest.importorskip("joblib")
from joblib import Parallel, delayed, parallel_config  # noqa: E402

from mpfast.integrations import joblib as ours  # noqa: E402
from mpfast.integrations import loky  # noqa: E402

pytestmark = pytest.mark.timeout(180)


@pytest.fixture(autouse=True)
def backend():
    ours.register()
    with parallel_config(backend="mpfast", n_jobs=2):
        yield


def nested(number):
    return Parallel(n_jobs=2)(delayed(pooled.square)(n) for n in range(number))


def threads(_):
    threadpoolctl = pytest.importorskip("threadpoolctl")
    import numpy  # noqa: F401

    return [pool["num_threads"] for pool in threadpoolctl.threadpool_info()]


def names_of_workers():
    return {process.pid for process in loky._executor._staff.crew.workers}


def test_results_in_order():
    """Of many short calls, which travel in batches."""
    assert Parallel()(delayed(pooled.square)(n) for n in range(3000)) == [n * n for n in range(3000)]


def test_runs_in_workers_of_mpfast():
    found = set(Parallel(batch_size=1)(delayed(pooled.pid)() for _ in range(20)))
    assert os.getpid() not in found
    assert found <= names_of_workers()


def test_workers_stay_for_the_next_call():
    Parallel()(delayed(pooled.square)(n) for n in range(9))
    before = names_of_workers()
    Parallel()(delayed(pooled.square)(n) for n in range(9))
    assert names_of_workers() == before


def test_as_a_context():
    with Parallel() as parallel:
        for _ in range(3):
            assert parallel(delayed(pooled.square)(n) for n in range(9)) == [n * n for n in range(9)]


@pytest.mark.parametrize("n_jobs", [1, 2, 3, -1])
def test_numbers_of_jobs(n_jobs):
    assert Parallel(n_jobs=n_jobs)(delayed(pooled.square)(n) for n in range(20)) == [n * n for n in range(20)]
    with pytest.raises(ValueError, match="n_jobs == 0"):
        Parallel(n_jobs=0)(delayed(pooled.square)(n) for n in range(2))


@pytest.mark.parametrize("how", ["generator", "generator_unordered"])
def test_generators(how):
    results = Parallel(return_as=how)(delayed(pooled.square)(n) for n in range(100))
    assert sorted(results) == sorted(n * n for n in range(100))


def test_an_exception():
    """Ends what still runs, and the next call goes on."""
    with pytest.raises(ZeroDivisionError, match="oh"):
        Parallel(batch_size=1)(delayed(call)(*args) for call, *args in [(pooled.fail, "oh"), (pooled.wait_for, 1000)])
    assert Parallel()(delayed(pooled.square)(n) for n in range(9)) == [n * n for n in range(9)]


def test_a_timeout():
    begin = time.monotonic()
    with pytest.raises(multiprocessing.TimeoutError):
        Parallel(timeout=0.2, batch_size=1)(delayed(pooled.wait_for)(1000) for _ in range(2))
    assert time.monotonic() - begin < 100
    assert Parallel()(delayed(pooled.square)(n) for n in range(9)) == [n * n for n in range(9)]
    until(lambda: loky._executor.stats().running == 0, "nothing runs any more")


def test_a_worker_dies():
    with pytest.raises(mpfast.WorkerDied):
        Parallel(batch_size=1)(delayed(pooled.die)() for _ in range(2))
    assert Parallel()(delayed(pooled.square)(n) for n in range(9)) == [n * n for n in range(9)]


def test_nested_calls():
    assert Parallel()(delayed(nested)(n) for n in range(5)) == [[k * k for k in range(n)] for n in range(5)]


def test_lambdas():
    pytest.importorskip("cloudpickle")
    three = 3
    assert Parallel()(delayed(lambda n: n + three)(n) for n in range(9)) == list(range(3, 12))


def test_arrays():
    numpy = pytest.importorskip("numpy")
    array = numpy.arange(300_000.0)
    assert Parallel()(delayed(numpy.sum)(array * n) for n in range(8)) == [array.sum() * n for n in range(8)]


def test_threads_of_numerical_libraries():
    """As many as joblib asks for."""
    pytest.importorskip("threadpoolctl")
    pytest.importorskip("numpy")
    with parallel_config(backend="mpfast", n_jobs=2, inner_max_num_threads=1):
        for found in Parallel()(delayed(threads)(n) for n in range(4)):
            assert set(found) <= {1}


def test_a_program(tmp_path):
    """A grid search of scikit-learn gives what it gives with joblib's own backend."""
    pytest.importorskip("sklearn")
    from sklearn.datasets import make_classification
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GridSearchCV

    data = make_classification(n_samples=120, n_features=6, random_state=1)
    search = GridSearchCV(LogisticRegression(), {"C": [0.01, 0.1, 1.0, 10.0]}, cv=3)
    with parallel_config(backend="mpfast", n_jobs=2):
        mine = search.fit(*data).cv_results_
    with parallel_config(backend="threading", n_jobs=1):
        theirs = search.fit(*data).cv_results_
    for name in theirs:
        if "time" not in name:
            assert list(mine[name]) == list(theirs[name]), name
