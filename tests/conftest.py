# SPDX-License-Identifier: MIT
"""Fixtures. A test that takes `ctx` is a contract. It runs on multiprocessing and on mpfast, by all start methods.

A module with tests for mpfast alone overrides `mp`.
"""

import contextlib
import gc
import importlib
import os
import sys
import types
from multiprocessing import forkserver, process, resource_tracker
from pathlib import Path

import harness
import pytest
import watch

METHODS = ["fork", "forkserver", "spawn"]
PACKAGES = {"stdlib": "multiprocessing", "mpfast": "mpfast"}
MAIN, TERMINAL, SECONDS, DEADLINE, PASSED = (pytest.StashKey() for _ in range(5))


def pytest_addoption(parser):
    parser.addini("settle", "seconds that what a test started has to disappear", default="5")
    parser.addini("last_resort", "seconds after the deadline at which the whole run is ended", default="30")


def pytest_configure(config):
    config.stash[MAIN] = sys.modules["__main__"]
    # A spawned child imports its parent's main module. Importing pytest would take most of its life.
    sys.modules["__main__"] = types.ModuleType("__main__")
    config.stash[TERMINAL] = watch.terminal(config)


def pytest_collection_modifyitems(items):
    if "libasan" in Path("/proc/self/maps").read_text():
        for item in items:
            if item.get_closest_marker("not_asan"):
                item.add_marker(pytest.mark.skip(reason="AddressSanitizer has memory and faults of its own"))


def pytest_unconfigure(config):
    sys.modules["__main__"] = config.stash[MAIN]
    os.close(config.stash[TERMINAL])


def pytest_report_header():
    try:
        return f"mpfast: {Path(importlib.import_module('mpfast').__file__).parent}"
    except ImportError as e:
        return f"mpfast: {e}"


def pytest_sessionstart():
    """The mpfast under test is the one that was just built, not one that happens to be installed."""
    expected = os.environ.get("MPFAST_EXPECT_DIR")
    if expected:
        found = Path(importlib.import_module("mpfast").__file__).parent
        if found.resolve() != Path(expected).resolve():
            pytest.exit(f"these tests are for the mpfast in {expected}, but {found} is imported", returncode=4)


@pytest.fixture(params=list(PACKAGES))
def mp(request):
    """multiprocessing or mpfast"""
    return importlib.import_module(PACKAGES[request.param])


@pytest.fixture
def connection(mp):
    """The module of connections of multiprocessing or mpfast."""
    return importlib.import_module(f"{mp.__name__}.connection")


@pytest.fixture(params=METHODS)
def method(request):
    return request.param


@pytest.fixture
def ctx(mp, method):
    return mp.get_context(method)


@pytest.fixture
def start(ctx):
    """start(*objects) starts a harness.Child of ctx that has them. All end with the test."""
    children = []

    def start_child(*objects, context=ctx, **options):
        children.append(harness.Child(context, *objects, **options))
        return children[-1]

    yield start_child
    for child in children:
        child.dispose()
    children.clear()


@pytest.fixture(scope="session", autouse=True)
def warm():
    """Makes what stays for the whole run, servants, heaps and the family. Also names our semaphores (watch.py)."""
    process.current_process()._config["semprefix"] = f"/{watch.SEMAPHORES}"
    resource_tracker.ensure_running()
    forkserver.ensure_running()
    for package in PACKAGES.values():
        try:
            module = importlib.import_module(package)
        except ImportError:
            continue  # the tests say so
        for method in METHODS:
            ctx = module.get_context(method)
            for size in (1 << 20, *(100 << shift for shift in range(10))):  # the family's heap has a mapping for each
                ctx.RawArray("b", size)
            child = harness.Child(ctx, ctx.Lock())
            child.dispose()
    gc.collect()
    gc.freeze()  # there is a collection after every test, which can skip pytest's own objects


@pytest.hookimpl(optionalhook=True)
def pytest_timeout_set_timer(item, settings):
    """pytest-timeout says how long (option, ini, marker). watch.py says what happens then."""
    item.stash[SECONDS] = settings.timeout
    return True


@pytest.hookimpl(optionalhook=True)
def pytest_timeout_cancel_timer():
    return True  # it asks when a test has failed. Then the ends of fixtures must have a deadline too


@pytest.hookimpl(wrapper=True, trylast=True)
def pytest_runtest_protocol(item):
    seconds = item.stash.get(SECONDS, None)
    if not seconds or item.config.getoption("usepdb"):
        return (yield)
    deadline = item.stash[DEADLINE] = watch.Deadline(seconds, item.config.stash[TERMINAL])
    try:
        return (yield)
    finally:
        deadline.cancel()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    deadline = item.stash.get(DEADLINE, None)
    with deadline.paused() if deadline else contextlib.nullcontext():  # pytest does not expect an exception here
        report = yield
    if call.when == "call":
        item.stash[PASSED] = report.passed
    return report


@pytest.fixture(autouse=True)
def nothing_left(warm, request):
    """A test that passes leaves nothing behind. What one that fails leaves is removed."""
    deadline = request.node.stash.get(DEADLINE, None)
    if deadline:
        deadline.arm_last(float(request.config.getini("last_resort")))
    before = watch.Snapshot()
    yield
    request.node.funcargs.clear()  # the last references to what the fixtures made
    passed = request.node.stash.get(PASSED, False)
    left = watch.settled(before, float(request.config.getini("settle"))) if passed else {}
    watch.end(watch.descendants() - before.processes)
    assert not left, f"the test left {left}"
