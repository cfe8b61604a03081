# SPDX-License-Identifier: MIT
"""What a start() leaves alone: descriptors that are somebody else's by now, and the default start method."""

import os

import launched
import programs
import pytest
from harness import PATIENCE


@pytest.mark.parametrize("method", ["forkserver"], indirect=True)
def test_a_descriptor_that_was_closed(mp, ctx, connection):
    """start() says so. (multiprocessing's does too, but its server's child is left with a traceback.)"""
    if mp.__name__ != "mpfast":
        pytest.skip("about mpfast's server")
    reader, writer = ctx.Pipe(duplex=False)
    gone = connection.Connection(os.dup(writer.fileno()), readable=False)
    high = os.dup2(gone.fileno(), 900)  # a number that nothing else gets
    gone.close()
    gone = connection.Connection(high, readable=False)
    os.close(high)
    process = ctx.Process(target=launched.exit_with, args=(gone,))
    with pytest.raises(OSError, match="Bad file descriptor"):
        process.start()
    gone._handle = None
    process = ctx.Process(target=launched.exit_with, args=(7,))
    process.start()
    process.join(PATIENCE)
    assert process.exitcode == 7
    process.close()
    reader.close()
    writer.close()


CLOSED = """
import {mp} as mp, os
if __name__ == "__main__":
    process = mp.get_context({method}).Process(target=int)
    process.start()
    process.join()
    os.closerange(3, 256)
    mine = [os.open("/dev/null", os.O_RDONLY) for _ in range(40)]
    pid = os.fork()
    if pid == 0:
        print([fd for fd in mine if not os.path.exists(f"/proc/self/fd/{fd}")], flush=True)
        os._exit(0)
    os.waitpid(pid, 0)
"""


def test_a_fork_after_all_descriptors_were_closed(mp, method, tmp_path):
    """As a program does that becomes a daemon: the child has the descriptors that its parent has."""
    script = programs.write(tmp_path / "script.py", CLOSED, mp=mp.__name__, method=repr(method))
    assert programs.run(script).lines() == ["[]"]


METHOD = """
import {mp} as mp, multiprocessing, time
def target(link):
    link.send(multiprocessing.get_start_method(allow_none=True))
if __name__ == "__main__":
    mp.set_start_method({method})
    mine = multiprocessing.get_start_method()
    if mp is not multiprocessing and {method} == "forkserver":
        mp.prewarm(2)
        until_asleep()
    reader, writer = mp.Pipe(duplex=False)
    for _ in range(2):
        process = mp.Process(target=target, args=(writer,))
        process.start()
        print(reader.recv() == mine, flush=True)
        process.join()
"""
ASLEEP = """
def until_asleep():  # those that wait have rehearsed
    from mpfast.launch.forkserver.client import client
    state = lambda pid: open(f"/proc/{pid}/stat").read().rpartition(")")[2].split()[0]
    for _ in range(3):
        while any(state(pid) != "S" for pid in client.processes()):
            time.sleep(0.001)
        time.sleep(0.02)
"""


def test_the_default_method_of_a_child(mp, method, tmp_path):
    """multiprocessing's own default is the parent's, whether the child had time to rehearse or not."""
    text = METHOD.replace("if __name__", ASLEEP + "if __name__", 1)
    script = programs.write(tmp_path / "script.py", text, mp=mp.__name__, method=repr(method))
    assert programs.run(script).lines() == ["True"] * 2
