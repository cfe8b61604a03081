# SPDX-License-Identifier: MIT
"""What was pickled before mpfast had rooms is read today: classes by the names of their modules then, and objects.

The bytes were made by the last version that had all modules in one folder. Objects that only travel to children, locks
and queues among them, are never kept in a pickle.
"""

import pickle
import subprocess
import sys

import pytest

import mpfast as mp

CLASSES = [
    *(("conditions", name, "synchronize") for name in ("Barrier", "Condition")),
    *(("mutex", name, "synchronize") for name in ("Lock", "RLock")),
    *(("semaphores", name, "synchronize") for name in ("BoundedSemaphore", "Event", "Semaphore")),
    ("family", "Handle", "synchronize"),
    *(("queues", name, "queues") for name in ("JoinableQueue", "Queue", "Reader", "SimpleQueue", "Writer")),
    *(("endpoint", name, "connection") for name in ("Pipe", "rebuild_connection", "reduce_connection")),
    *(("listener", name, "connection") for name in ("Client", "Listener", "XmlClient", "XmlListener")),
    ("ready", "wait", "connection"),
    ("connection", "Connection", "connection"),
    *(("context", name, "context") for name in ("Process", "ForkProcess", "ForkServerProcess", "SpawnProcess")),
    *(("context", name, "context") for name in ("DefaultContext", "ForkContext", "ForkServerContext", "SpawnContext")),
    *(("diagnostics", name, "diagnostics") for name in ("LockInfo", "QueueStats", "Waiter", "locks")),
    *(("errors", name, "errors") for name in ("CorruptedQueueError", "LockOwnerDied")),
    *(("managers", name, "managers") for name in ("BaseManager", "Server", "SharedMemoryManager", "SyncManager")),
    ("pool", "Pool", "pool"),
    *(("sharedctypes", name, "sharedctypes") for name in ("Array", "Value", "synchronized")),
]
PUBLIC = {"Handle": "SemLock"}
OBJECTS = [
    (
        mp.LockOwnerDied(7, 8, "Lock-3"),
        b"\x80\x02cmpfast.errors\nLockOwnerDied\nq\x00K\x07K\x08X\x06\x00\x00\x00Lock-3q\x01\x87q\x02Rq\x03.",
    ),
    (
        mp.CorruptedQueueError("damaged"),
        b"\x80\x02cmpfast.errors\nCorruptedQueueError\nq\x00X\x07\x00\x00\x00damagedq\x01\x85q\x02Rq\x03.",
    ),
    (mp.ShutDown("over"), b"\x80\x02cmpfast.channel\nShutDown\nq\x00X\x04\x00\x00\x00overq\x01\x85q\x02Rq\x03."),
    (
        mp.QueueStats(1, 2, 3, 4, 5),
        b"\x80\x02cmpfast.diagnostics\nQueueStats\nq\x00(K\x01K\x02K\x03K\x04K\x05tq\x01\x81q\x02.",
    ),
    (
        mp.LockInfo("Lock", 3, "held", 7, 8, (mp.Waiter(9, 10, 0.5),)),
        (
            b"\x80\x02cmpfast.diagnostics\nLockInfo\nq\x00(X\x04\x00\x00\x00Lockq\x01K\x03X\x04\x00\x00\x00heldq\x02K\x07"
            b"K\x08cmpfast.diagnostics\nWaiter\nq\x03K\tK\nG?\xe0\x00\x00\x00\x00\x00\x00\x87q\x04\x81q\x05\x85q\x06tq\x07"
            b"\x81q\x08."
        ),
    ),
]


@pytest.mark.parametrize(("module", "name", "home"), CLASSES)
def test_a_class_by_its_former_name(module, name, home):
    """In a new interpreter, which has not loaded the class before."""
    program = (
        f"import pickle; found = pickle.loads(b'cmpfast.{module}\\n{name}\\n.'); "
        f"import mpfast.{home} as home; assert found is home.{PUBLIC.get(name, name)}, found"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


@pytest.mark.parametrize(("expected", "pickled"), OBJECTS, ids=lambda value: type(value).__name__)
def test_an_object(expected, pickled):
    found = pickle.loads(pickled)
    assert type(found) is type(expected)
    assert (
        (found.args, vars(found)) == (expected.args, vars(expected))
        if isinstance(found, Exception)
        else found == expected
    )


@pytest.mark.parametrize(("module", "name", "home"), CLASSES)
def test_what_is_pickled_now_says_a_public_name(module, name, home):
    __import__(f"mpfast.{home}")
    found = getattr(sys.modules[f"mpfast.{home}"], PUBLIC.get(name, name))
    assert found.__module__ == f"mpfast.{home}" or name in ("Handle", "wait")


def test_no_new_module_under_a_former_name():
    """The folder is a list of seven names."""
    import mpfast.former

    (folder,) = mpfast.former.__path__
    import os

    modules = {name.partition(".")[0] for name in os.listdir(folder)} - {"__init__", "__pycache__"}
    assert modules == {"_stdlib", "conditions", "endpoint", "listener", "mutex", "ready", "semaphores"}
