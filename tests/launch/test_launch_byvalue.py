# SPDX-License-Identifier: MIT
"""What cannot be sent by reference goes by value if cloudpickle is there; what cannot be sent at all is named."""

import pickle
import sys
import threading

import programs
import pytest
import workers
from harness import PATIENCE

import mpfast


@pytest.fixture(params=["with", "without"])
def cloudpickle(request, monkeypatch):
    """Whether this process has cloudpickle."""
    if request.param == "with":
        pytest.importorskip("cloudpickle")
    else:
        monkeypatch.setitem(sys.modules, "cloudpickle", None)
    return request.param == "with"


@pytest.fixture
def mp():
    return mpfast


class Box:
    def __init__(self, content):
        self.cfg = {"log": [1, content]}


@pytest.mark.parametrize("method", ["forkserver", "spawn"], indirect=True)
@pytest.mark.parametrize(
    ("options", "path"),
    [
        ({"args": (1, Box(threading.Lock()))}, "args[1].cfg['log'][1] (lock)"),
        ({"args": ([{"key": threading.Lock()}],)}, "args[0][0]['key'] (lock)"),
        ({"kwargs": {"option": threading.Lock()}}, "kwargs['option'] (lock)"),
        ({"args": ((x for x in ()),)}, "args[0] (generator)"),
    ],
)
def test_the_culprit_is_named(ctx, options, path):
    process = ctx.Process(target=workers.nothing, **options)
    with pytest.raises((TypeError, pickle.PicklingError)) as caught:
        process.start()
    assert any(f"{path} cannot be sent to the child" in note for note in caught.value.__notes__), caught.value.__notes__


@pytest.mark.parametrize("method", ["forkserver", "spawn"], indirect=True)
def test_a_lambda(ctx, cloudpickle):
    """With cloudpickle it is sent by value; without, and in strict mode, the error names it."""
    process = ctx.Process(target=lambda: sys.exit(5))
    if cloudpickle:
        process.start()
        process.join(PATIENCE)
        assert process.exitcode == 5
    else:
        with pytest.raises((AttributeError, pickle.PicklingError)) as caught:
            process.start()
        assert any("target" in note for note in caught.value.__notes__)
    process.close()


@pytest.mark.parametrize("method", ["forkserver", "spawn"], indirect=True)
def test_strict_pickling(ctx, monkeypatch):
    monkeypatch.setattr(mpfast, "strict_pickling", True)
    with pytest.raises((AttributeError, pickle.PicklingError)):
        ctx.Process(target=lambda: None).start()


COMMAND = """
import sys
{without}
import mpfast
def target(number):
    print("target", number, flush=True)
process = mpfast.get_context({method}).Process(target=target, args=(1,))
process.start()
process.join()
print("exit code", process.exitcode)
"""


@pytest.mark.parametrize("method", ["forkserver", "spawn"])
def test_a_function_of_a_command(method, cloudpickle):
    """python -c has no file that a child could import."""
    without = "" if cloudpickle else "sys.modules['cloudpickle'] = None"
    done = programs.run("-c", COMMAND.replace("{method}", repr(method)).replace("{without}", without))
    if cloudpickle:
        assert done == (0, "target 1\nexit code 0\n", "")
    else:
        assert done.code == 1
        assert "Can't pickle <function target" in done.err.rpartition("PicklingError: ")[2]
