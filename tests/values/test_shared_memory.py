# SPDX-License-Identifier: MIT
"""SharedMemory, the contract of multiprocessing's, on both packages. test_nameless.py has what mpfast does beyond."""

import contextlib
import gc
import importlib
import mmap
import os
import pickle
import sys

import memories
import pytest
from harness import ChildRaised
from test_values import inside, raised


@pytest.fixture
def module(mp):
    return importlib.import_module(f"{mp.__name__}.shared_memory")


@pytest.fixture
def make(module):
    """Makes memory that is gone with the test."""
    made = []

    def new(*args, **options):
        made.append(module.SharedMemory(*args, **options))
        return made[-1]

    yield new
    for memory in made:
        memory.close()
        with contextlib.suppress(FileNotFoundError):
            memory.unlink()
    made.clear()


@inside
def test_what_it_is(ctx, make, module):
    memory = make(create=True, size=100)
    assert memory.size == 100
    assert len(memory.buf) == 100
    assert bytes(memory.buf) == bytes(100)
    assert memory.name.startswith("psm_")
    assert memory._name == "/" + memory.name
    assert repr(memory) == f"SharedMemory({memory.name!r}, size=100)"
    assert isinstance(memory._mmap, mmap.mmap)
    assert isinstance(memory._buf, memoryview)
    assert memory._fd >= 0
    assert memory._flags & os.O_EXCL
    assert os.fstat(memory._fd).st_mode & 0o777 == 0o600
    other = module.SharedMemory(memory.name)
    other.buf[5] = 1
    assert memory.buf[5] == 1
    assert other.size == memory.size
    other.close()
    memory.close()
    assert (memory._fd, memory.buf, memory._mmap, memory.size) == (-1, None, None, 100)
    memory.close()
    memory.unlink()
    assert raised(module.SharedMemory, memory.name)[0] == "FileNotFoundError"
    assert raised(memory.unlink)[0] == "FileNotFoundError"


@inside
@pytest.mark.parametrize(
    "arguments",
    [
        *({"create": True}, {"create": True, "size": -1}, {}, {"create": True, "size": "a"}, {"size": 5}),
        *({"name": "mpfast-no-such"}, {"name": "a\0b"}, {"name": "", "create": True, "size": 1}),
    ],
    ids=str,
)
def test_bad_arguments(ctx, module, arguments):
    kind, text = raised(lambda: module.SharedMemory(**arguments))
    theirs = raised(lambda: vars(importlib.import_module("multiprocessing.shared_memory"))["SharedMemory"](**arguments))
    assert (kind, text) == theirs


@inside
def test_too_much(ctx, module):
    """What the kernel refuses leaves no name, no file and no descriptor."""
    if module.__name__.startswith("multiprocessing"):
        pytest.skip("it leaves the name of what it could not make")
    assert raised(lambda: module.SharedMemory(create=True, size=1 << 62))[0] in ("OSError", "MemoryError")
    assert raised(lambda: module.SharedMemory(create=True, size=1 << 80))[0] == "OverflowError"
    assert raised(lambda: module.SharedMemory(create=True, size=10.5))[0] == "TypeError"


@inside
def test_a_name_that_exists(ctx, make, module):
    memory = make(f"mpfast-test-{os.getpid()}", create=True, size=10)
    assert memory.name == f"mpfast-test-{os.getpid()}"
    assert raised(lambda: module.SharedMemory(memory.name, create=True, size=10))[0] == "FileExistsError"
    either = type("Either", (module.SharedMemory,), {"_flags": os.O_CREAT | os.O_RDWR})
    again = either(memory.name)
    assert again.size == 10
    again.close()


@inside
def test_names_are_drawn_by_the_module(ctx, make, monkeypatch):
    """CPython's tests, and some programs, replace the function that draws them."""
    theirs = importlib.import_module("multiprocessing.shared_memory")
    names = [f"/psm_test{n}-{os.getpid()}" for n in range(2)]
    monkeypatch.setattr(theirs, "_make_filename", iter([names[0], names[0], names[1]]).__next__)
    first, second = make(create=True, size=1), make(create=True, size=1)
    assert [first._name, second._name] == names


@inside
def test_no_slash(ctx, module):
    bare = type("Bare", (module.SharedMemory,), {"_prepend_leading_slash": False})
    memory = bare(f"mpfast-bare-{os.getpid()}", create=True, size=10)
    assert memory.name == memory._name == f"mpfast-bare-{os.getpid()}"
    memory.close()
    memory.unlink()


@inside
def test_pickled_by_name(ctx, make):
    memory = make(create=True, size=10)
    memory.buf[3] = 7
    copy = pickle.loads(pickle.dumps(memory))
    assert type(copy) is type(memory)
    assert (copy.name, copy.size, copy.buf[3]) == (memory.name, 10, 7)
    copy.close()


def test_a_child_gets_it(make, start):
    memory = make(create=True, size=100)
    memory.buf[0] = 3
    child = start(memory)
    assert child.run(memories.first, memory) == 3
    child.run(memories.put, memory, 4)
    assert memory.buf[0] == 4
    assert child.run(memories.name_of, memory) == memory.name
    child.on(memory).close()
    assert memory.buf[0] == 4


def test_a_name_of_a_childs(mp, make, start):
    """A child names its memory and ends. The memory stays."""
    child = start()
    name = child.run(memories.made, mp.__name__)
    child.end()
    memory = make(name)
    assert memory.buf[0] == 9


def test_a_class_of_the_users(mp, method, start):
    cls = memories.mine(mp.__name__)
    memory = cls(create=True, size=10, extra=6)
    memory.buf[0] = 8
    child = start(memory)
    assert child.run(memories.first, memory) == 8
    assert child.run(getattr, memory, "extra") == (6 if method == "fork" else 5)
    child.on(memory).close()
    memory.close()
    memory.unlink()


def test_views_hold_it(make, start):
    memory = make(create=True, size=100)
    view = memory.buf[10:20]
    with pytest.raises(BufferError):
        memory.close()
    assert memory.buf is None or memory.buf.nbytes == 100
    view[0] = 1
    view.release()
    memory.close()


@inside
def test_numpy(ctx, make, module):
    numpy = pytest.importorskip("numpy")
    memory = make(create=True, size=800)
    array = numpy.ndarray((100,), dtype="q", buffer=memory.buf)
    array[:] = range(100)
    other = module.SharedMemory(memory.name)
    copy = numpy.frombuffer(other.buf, dtype="q").copy()
    assert copy.tolist() == list(range(100))
    other.close()
    del array


@inside
@pytest.mark.skipif(sys.version_info < (3, 13), reason="multiprocessing has no track before 3.13")
def test_untracked_as_the_stdlib(ctx, module, monkeypatch):
    tracks_nothing(module, monkeypatch)


def tracks_nothing(module, monkeypatch):
    tracker = importlib.import_module("multiprocessing.resource_tracker")
    told = []
    for name in ("register", "unregister"):
        monkeypatch.setattr(tracker, name, lambda *args, name=name: told.append((name, *args)))
    memory = module.SharedMemory(create=True, size=10, track=False)
    other = module.SharedMemory(memory.name, track=False)
    third = module.SharedMemory(f"mpfast-third-{os.getpid()}", create=True, size=5, track=False)
    assert [len(each.buf) for each in (memory, other, third)] == [10, 10, 5]
    for each in (memory, other, third):
        each.close()
    memory.unlink()
    third.unlink()
    assert raised(other.unlink)[0] == "FileNotFoundError"
    assert told == []


@inside
def test_the_tracker_is_told(ctx, module, monkeypatch):
    tracker = importlib.import_module("multiprocessing.resource_tracker")
    told = []
    for name in ("register", "unregister"):
        monkeypatch.setattr(tracker, name, lambda *args, name=name: told.append((name, *args)))
    memory = module.SharedMemory(create=True, size=10)
    name = memory._name
    memory.close()
    memory.unlink()
    assert told == [("register", name, "shared_memory"), ("unregister", name, "shared_memory")]


@inside
@pytest.mark.parametrize("named", [False, True])
def test_made_and_dropped(ctx, module, named):
    """No descriptor is left, also of what is dropped without close()."""
    before = memories.descriptors()
    for step in range(50):
        memory = module.SharedMemory(create=True, size=100)
        if named:
            assert memory.name
        if step % 2:
            memory.close()
        memory.unlink()
        del memory
    gc.collect()
    assert memories.descriptors() == before


def test_attached_in_a_child_that_ends(mp, make, start):
    """Its parent's memory outlives it: python/cpython#82300, where both have one tracker."""
    memory = make(create=True, size=100)
    memory.buf[0] = 1
    child = start()
    assert child.run(memories.attach, mp.__name__, memory.name) == b"\1\0\0\0"
    child.end()
    assert memories.attach(mp.__name__, memory.name) == b"\1\0\0\0"


def test_the_child_cannot_attach_to_what_is_not_there(mp, start):
    child = start()
    with pytest.raises(ChildRaised, match="FileNotFoundError"):
        child.run(memories.attach, mp.__name__, "mpfast-no-such")
