# SPDX-License-Identifier: MIT
"""What the pools of this mpfast can do beyond multiprocessing's. A test of what is not there yet is skipped."""

import concurrent.futures
import inspect

import pytest

import mpfast
import mpfast.pool
import mpfast.tasks.calls


def has_parameter(function, name):
    return name in inspect.signature(function).parameters


def needs(ability, what):
    return pytest.mark.skipif(not ability, reason=f"this mpfast has no {what}")


POOL = mpfast.pool.Pool
SURVIVES = hasattr(mpfast, "WorkerDied")  # the pools are mpfast's own, not the standard library's over its queues
EXECUTOR = getattr(mpfast, "ProcessPoolExecutor", None)
NESTED = True  # may a worker of a pool have a pool?

deaths = needs(SURVIVES, "WorkerDied")
broken = needs(hasattr(mpfast, "BrokenPool"), "BrokenPool")
timeouts = needs(has_parameter(POOL.apply_async, "timeout"), "apply_async(timeout=)")
retries = needs(has_parameter(POOL.apply_async, "retries"), "apply_async(retries=)")
cancel = needs(hasattr(mpfast.tasks.calls.ApplyResult, "cancel"), "AsyncResult.cancel()")
resize = needs(hasattr(POOL, "resize"), "Pool.resize()")
stats = needs(hasattr(POOL, "stats"), "Pool.stats()")
progress = needs(has_parameter(POOL.map, "progress"), "map(progress=)")
asynchronous = needs(hasattr(POOL, "aapply"), "Pool.aapply()")
executor = needs(EXECUTOR, "ProcessPoolExecutor")


def executor_class(mp):
    """The class of a package's executors. multiprocessing's is in concurrent.futures."""
    own = EXECUTOR if mp is mpfast else None
    return own or concurrent.futures.ProcessPoolExecutor


def has_buffersize(function):
    return has_parameter(function, "buffersize")
