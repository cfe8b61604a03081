# SPDX-License-Identifier: MIT
"""The names: all of multiprocessing's are there, in all of its modules, and those that make things make ours."""

import importlib
import multiprocessing
import pkgutil
import subprocess
import sys

import boxes
import jobs
import pytest

import mpfast

# Not for this platform.
ABSENT = {"multiprocessing.popen_spawn_win32"}
MODULES = sorted(
    {"multiprocessing"}
    | {info.name for info in pkgutil.walk_packages(multiprocessing.__path__, "multiprocessing.")} - ABSENT
)
OURS = ["Lock", "RLock", "Semaphore", "BoundedSemaphore", "Condition", "Event", "Barrier"]


@pytest.fixture
def mp():
    return mpfast


def counterpart(name):
    return importlib.import_module(name.replace("multiprocessing", "mpfast", 1))


def public(module):
    """What `from module import *` gives, and what its classes and functions are."""
    names = set(getattr(module, "__all__", ()))
    return names | {
        name
        for name, value in vars(module).items()
        if not name.startswith("_") and getattr(value, "__module__", None) == module.__name__
    }


def is_ours(thing):
    return type(thing).__module__.partition(".")[0] == "mpfast"


@pytest.mark.parametrize("name", multiprocessing.__all__)
def test_every_name(name):
    value = getattr(mpfast, name)
    assert name in mpfast.__all__
    assert name in dir(mpfast)
    assert callable(value) == callable(getattr(multiprocessing, name))


def test_what_is_beyond_the_stdlib():
    assert set(mpfast.__all__) - set(multiprocessing.__all__) >= {"LockOwnerDied", "locks"}
    assert issubclass(mpfast.LockOwnerDied, multiprocessing.ProcessError)
    assert isinstance(mpfast.__version__, str)
    assert all(hasattr(mpfast, name) for name in mpfast.__all__)
    assert (mpfast.SUBDEBUG, mpfast.SUBWARNING) == (multiprocessing.SUBDEBUG, multiprocessing.SUBWARNING)


@pytest.mark.parametrize("name", MODULES)
def test_every_module(name):
    theirs, ours = importlib.import_module(name), counterpart(name)
    missing = {attribute for attribute in public(theirs) if not hasattr(ours, attribute)}
    assert not missing
    exported = set(getattr(theirs, "__all__", ()))
    assert exported <= set(dir(ours)) | {attribute for attribute in exported if hasattr(ours, attribute)}
    assert exported <= set(getattr(ours, "__all__", exported))


@pytest.mark.parametrize("name", MODULES)
def test_every_module_by_itself(name):
    """Whichever is imported first, in a fresh interpreter and as `from mpfast.x import *`."""
    ours = name.replace("multiprocessing", "mpfast", 1)
    code = f"import {ours}; from {ours} import *; import mpfast; assert mpfast.Lock().acquire(False)"
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")


def test_classic_imports():
    code = """
from mpfast import Lock, Pool, Process, Queue, freeze_support, cpu_count
from mpfast.connection import Client, Connection, Listener, wait
from mpfast.context import BaseContext, assert_spawning, get_spawning_popen, set_spawning_popen, reduction
from mpfast.dummy import Pool as DummyPool
from mpfast.dummy.connection import Pipe
from mpfast.managers import BaseManager, BaseProxy, NamespaceProxy, SharedMemoryManager, SyncManager
from mpfast.pool import ApplyResult, AsyncResult, Pool, RemoteTraceback, ThreadPool, TERMINATE
from mpfast.process import AuthenticationString, BaseProcess, current_process
from mpfast.queues import Empty, Full, JoinableQueue, Queue, SimpleQueue
from mpfast.reduction import DupFd, ForkingPickler, recv_handle, send_handle
from mpfast.resource_tracker import ensure_running
from mpfast.shared_memory import ShareableList, SharedMemory
from mpfast.sharedctypes import Array, RawArray, RawValue, Synchronized, Value
from mpfast.synchronize import SEM_VALUE_MAX, Barrier, Lock, SemLock
from mpfast.util import Finalize, get_logger, log_to_stderr, register_after_fork
import mpfast.forkserver, mpfast.heap, mpfast.resource_sharer, mpfast.spawn
import mpfast.popen_fork, mpfast.popen_forkserver, mpfast.popen_spawn_posix
assert isinstance(mpfast.heap.Heap, type)
"""
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("name", OURS)
def test_the_lock_family_is_ours(name, ctx):
    args = (2,) if name == "Barrier" else ()
    synchronize = importlib.import_module("mpfast.synchronize")
    assert type(getattr(ctx, name)(*args)) is getattr(synchronize, name)
    assert type(getattr(mpfast, name)(*args)) is getattr(synchronize, name)
    assert is_ours(getattr(ctx, name)(*args))
    assert getattr(ctx, name).__doc__
    assert getattr(synchronize, name).__doc__


def test_what_takes_a_context_takes_ours_by_default():
    from mpfast import sharedctypes

    assert is_ours(sharedctypes.Value("i").get_lock())
    assert is_ours(sharedctypes.Array("i", 2).get_lock())
    assert is_ours(sharedctypes.synchronized(sharedctypes.RawValue("i")).get_lock())
    assert is_ours(mpfast.Value("i").get_lock())
    lock = multiprocessing.Lock()
    assert sharedctypes.Value("i", lock=lock).get_lock() is lock
    fork = multiprocessing.get_context("fork")
    assert not is_ours(sharedctypes.Value("i", ctx=fork).get_lock())


def test_queues_take_our_context(ctx):
    from mpfast import queues

    queue = queues.Queue(3, ctx=ctx)
    assert is_ours(queue)
    queue.close()
    queue.join_thread()
    simple = queues.SimpleQueue(ctx=ctx)
    assert is_ours(simple)
    simple.close()


@pytest.mark.parametrize("kind", ["BaseManager", "SyncManager"])
def test_managers_start_our_processes(kind):
    from mpfast import managers

    manager = getattr(managers, kind)()
    assert isinstance(manager, getattr(multiprocessing.managers, kind))
    assert is_ours(manager._ctx)
    with manager:
        assert is_ours(manager._process)
        assert type(manager).__name__ == kind


def test_a_managers_class_may_be_extended():
    from mpfast.managers import BaseManager, SyncManager

    assert "Box" in boxes.BoxManager._registry
    assert "Box" not in BaseManager._registry
    assert "Lock" in SyncManager._registry
    with boxes.BoxManager() as manager:
        assert "Box" in repr(manager.Box(1))


def test_a_pool_is_ours(ctx):
    from mpfast.pool import Pool, ThreadPool

    with Pool(1, context=ctx) as pool:
        assert pool._ctx is ctx
        assert is_ours(pool._pool[0])
        assert pool.apply(jobs.square, (3,)) == 9
        pool.close()
        pool.join()
    with Pool(1) as pool:
        assert is_ours(pool._ctx)
        pool.close()
        pool.join()
    with ThreadPool(2) as pool:
        assert pool.map(jobs.square, [1, 2]) == [1, 4]
        pool.close()
        pool.join()


def test_dummy_is_threads():
    from mpfast import dummy

    results = []
    process = dummy.Process(target=results.append, args=(1,))
    process.start()
    process.join()
    assert results == [1]


def test_the_import_starts_nothing():
    """No thread, no process, no memory: all of it comes with the first object."""
    code = """
import os
def look():
    with open("/proc/self/maps") as maps:
        mapped = maps.read().count("memfd")
    return len(os.listdir("/proc/self/fd")), len(os.listdir("/proc/self/task")), mapped
import threading, multiprocessing.reduction, multiprocessing.util, multiprocessing.context, warnings
before = look()
import mpfast
assert look() == before, (look(), before)
lock = mpfast.Lock()
after = look()
assert after[1] == before[1] and after[0] == before[0] + 1 and after[2] > 0, (after, before)
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
