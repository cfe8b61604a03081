# SPDX-License-Identifier: MIT
"""isinstance() with multiprocessing's classes: code that asks for one of them takes mpfast's objects too."""

import multiprocessing.queues
import multiprocessing.synchronize
import subprocess
import sys
import threading
from abc import ABCMeta
from types import MappingProxyType

import pytest

import mpfast.queues

ARGUMENTS = MappingProxyType({"Barrier": (2,)})
HOMES = {
    **dict.fromkeys(("Queue", "JoinableQueue", "SimpleQueue"), multiprocessing.queues),
    **dict.fromkeys(
        ("Lock", "RLock", "Semaphore", "BoundedSemaphore", "Condition", "Event", "Barrier"), multiprocessing.synchronize
    ),
}


def made(context, name):
    return getattr(context, name)(*ARGUMENTS.get(name, ()))


@pytest.mark.parametrize("name", HOMES)
def test_the_stdlibs_class(ctx, name):
    """It is one of its own counterpart's, of that one's bases', and of no other."""
    thing = made(ctx, name)
    theirs = vars(HOMES[name])[name]
    for other, home in HOMES.items():
        cls = vars(home)[other]
        assert isinstance(thing, cls) == issubclass(theirs, cls)
    assert isinstance(thing, threading.Barrier) == (name == "Barrier")


@pytest.mark.parametrize("name", HOMES)
def test_dunder_class(ctx, name):
    """It is the same each time, has the type's name and makes things that work."""
    thing = made(ctx, name)
    cls = thing.__class__
    assert thing.__class__ is cls
    assert issubclass(cls, type(thing))
    for attribute in ("__name__", "__module__", "__doc__"):
        assert getattr(cls, attribute) == getattr(type(thing), attribute)


@pytest.mark.parametrize("name", ["Process", "BaseProcess"])
def test_processes(mp, name):
    theirs = getattr(multiprocessing.process if name == "BaseProcess" else multiprocessing.context, name)
    assert isinstance(mp.Process(target=int), theirs)


class Mine(mpfast.queues.Queue):
    """A queue of the user's."""


class MineWithMeta(mpfast.queues.Queue, metaclass=ABCMeta):
    """A queue with another metaclass."""


def test_classes_of_the_users():
    mine = Mine(ctx=mpfast.get_context("fork"))
    assert isinstance(mine, (Mine, multiprocessing.queues.Queue))
    assert isinstance(mine, multiprocessing.queues.Queue)
    assert issubclass(mine.__class__, Mine)
    assert MineWithMeta(ctx=mpfast.get_context("fork")).__class__ is MineWithMeta


@pytest.mark.parametrize("name", ["Queue", "JoinableQueue", "SimpleQueue", "Event", "Condition"])
def test_travels(ctx, start, name):
    """It arrives as what it is, although its __class__ is not its type."""
    thing = made(ctx, name)
    child = start(thing)
    assert child.run(type_of, thing) == (type(thing).__module__, type(thing).__name__)


def type_of(thing):
    return type(thing).__module__, type(thing).__name__


PROGRAM = """
import logging.config, sys, {package} as mp
q = mp.{name}()
assert q.__class__ is type(q) or "multiprocessing.queues" in sys.modules
handler = {{"class": "logging.handlers.QueueHandler", "queue": q}}
root = {{"handlers": ["q"], "level": "INFO"}}
logging.config.dictConfig({{"version": 1, "handlers": {{"q": handler}}, "root": root}})
logging.info("logged")
print(q.get().getMessage())
"""


@pytest.mark.parametrize("name", ["Queue", "JoinableQueue"])
def test_logging_takes_a_queue(mp, name):
    """Before 3.14 it asks for the class, of a queue that was made before multiprocessing.queues was imported."""
    program = PROGRAM.format(package=mp.__name__, name=name)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("logged\n", "")
