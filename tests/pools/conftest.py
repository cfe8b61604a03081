# SPDX-License-Identifier: MIT
"""Pools and executors to test. They end with the test, whatever state it leaves them in."""

import importlib

import abilities
import pooled
import pytest
from abilities import executor_class


@pytest.fixture
def pools(mp):
    """The module of pools of multiprocessing or mpfast."""
    return importlib.import_module(f"{mp.__name__}.pool")


@pytest.fixture
def make_pool(ctx):
    """make_pool(processes=2, ...): a pool that is terminated when the test ends."""
    made = []

    def make(processes=2, *args, **options):
        made.append(ctx.Pool(processes, *args, **options))
        return made[-1]

    yield make
    for pool in made:
        pool.terminate()
        pool.join()
    made.clear()


@pytest.fixture
def pool(make_pool):
    return make_pool()


@pytest.fixture
def gate(ctx):
    return pooled.Gate(ctx)


@pytest.fixture
def held(make_pool, gate):
    """A pool whose tasks can wait at the gate."""
    return make_pool(2, pooled.keep, (gate,))


@pytest.fixture
def make_executor(mp, ctx):
    """make_executor(max_workers=2, ...): an executor that is shut down when the test ends.

    breaking: a dead worker breaks it, as in the standard library, whose executors know nothing else.
    """
    made = []

    def make(max_workers=2, *, breaking=False, **options):
        if breaking and executor_class(mp) is abilities.EXECUTOR:
            options["on_worker_death"] = "break"
        made.append(executor_class(mp)(max_workers, mp_context=ctx, **options))
        return made[-1]

    yield make
    for executor in made:
        executor.shutdown(cancel_futures=True)
    made.clear()


@pytest.fixture
def executor(make_executor):
    return make_executor()


@pytest.fixture
def held_executor(make_executor, gate):
    yield make_executor(initializer=pooled.keep, initargs=(gate,))
    gate.open(100)  # an executor waits for its tasks, those of a test that failed too


# The variants of these tests by spawn are long ones (make stress): workers that are started one after the other, or
# what several other tests try by spawn as well.
LONG_BY_SPAWN = {
    "test_a_child_does_not_end_the_pool",
    "test_a_child_does_not_end_workers",
    "test_a_forked_child_does_not_end_the_executor",
    "test_a_forked_child_does_not_end_the_pool",
    "test_a_map",
    "test_a_single_task",
    "test_a_task_that_exits",
    "test_a_timeout_meets_the_end_of_a_task",
    "test_a_worker_has_a_limited_number_of_tasks",
    "test_an_argument_that_ends_the_worker",
    "test_an_asynchronous_call",
    "test_an_executor_with_retries",
    "test_an_initializer_that_dies",
    "test_an_initializer_that_fails_now_and_then",
    "test_an_input_that_fails",
    "test_an_interrupt_while_arguments_are_pickled",
    "test_arguments_that_kill_the_worker_that_loads_them",
    "test_arrays",
    "test_bytes",
    "test_close_and_join_after_deaths",
    "test_close_while_workers_are_replaced",
    "test_ctrl_c_of_the_caller",
    "test_each_element_ends_its_worker",
    "test_each_element_has_its_own_retries",
    "test_errors_keep_their_arguments",
    "test_errors_that_are_special_elsewhere",
    "test_idle_workers",
    "test_imap",
    "test_imap_unordered",
    "test_many_deaths",
    "test_replaced_workers_are_initialized",
    "test_results_of_the_dead_whose_unpickling_calls_the_pool",
    "test_threads_that_cancel_the_same_task",
    "test_what_can_be_called",
    "test_workers_are_replaced_while_there_is_work",
}


def is_long(item):
    """multiprocessing itself is tried by fork. Its other methods differ in how a worker starts."""
    arguments = item.callspec.params if hasattr(item, "callspec") else {}
    method = arguments.get("method")
    if arguments.get("mp") == "stdlib":
        return method in ("forkserver", "spawn")
    return method == "spawn" and item.originalname in LONG_BY_SPAWN


def pytest_collection_modifyitems(items):
    for item in items:
        if "tests/pools/" in item.path.as_posix() and is_long(item):
            item.add_marker(pytest.mark.stress)
