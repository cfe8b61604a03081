# SPDX-License-Identifier: MIT
"""What the main module and others leave to a child; starts in the middle of another, and after others have failed."""

import dis
import functools
import gc
import itertools
import json
import os
import select
import signal
import sys

import launched
import programs
import pytest
import workers
from harness import PATIENCE

from mpfast.launch.forkserver.client import client

STATE = """
import {mp} as mp, gc, json, os, signal, sys
def handler(*_):
    pass
gc.disable()
for name in ("SIGINT", "SIGCHLD", "SIGTERM"):
    signal.signal(getattr(signal, name), handler)
def target(link):
    signals = signal.SIGINT, signal.SIGCHLD, signal.SIGTERM
    handled = [signal.getsignal(s) is sys.modules["__main__"].handler for s in signals]
    link.send(json.dumps([gc.isenabled(), handled, os.getcwd(), "/nowhere" in sys.path, sys.argv]))
if __name__ == "__main__":
    sys.path.insert(0, {place})
    ctx = mp.get_context({method})
    ctx.set_forkserver_preload({modules})
    for _ in range(2):
        reader, writer = ctx.Pipe(duplex=False)
        process = ctx.Process(target=target, args=(writer,))
        process.start()
        print(reader.recv(), flush=True)
        process.join()
"""


@pytest.mark.parametrize("modules", [["__main__", "wandering"], ["wandering"]])
@pytest.mark.parametrize("launch", ["", "table"])
def test_the_state_that_modules_leave(mp, method, modules, launch, tmp_path):
    """Handlers and the collector are as the main module left them; where we are is as the parent says."""
    place = tmp_path / "modules"
    wandering = "import os, sys; os.chdir('/usr'); sys.path.append('/nowhere'); sys.argv = ['?']"
    programs.write(place / "wandering.py", wandering)
    names = {"mp": mp.__name__, "method": repr(method), "place": repr(str(place)), "modules": repr(modules)}
    script = programs.write(tmp_path / "script.py", STATE, **names)
    for line in programs.run(script, cwd=tmp_path, MPFAST_LAUNCH=launch).lines():
        assert json.loads(line) == [False, [True, True, True], str(tmp_path), False, [str(script)]]


def run(ctx):
    process = ctx.Process(target=launched.exit_with, args=(7,))
    process.start()
    process.join(PATIENCE)
    assert process.exitcode == 7
    process.close()


def children():
    with open(f"/proc/self/task/{os.getpid()}/children") as file:
        return file.read().split()


def end_server():
    process = client._process
    if process is not None:
        process.kill()  # by itself it looks every half second whether its children have ended
    client.stop()


@pytest.fixture
def server(mp):
    if mp.__name__ != "mpfast":
        pytest.skip("about mpfast's server")
    client.stop()
    yield client
    end_server()
    client.prewarm(0)  # the next test finds one, as this one did


@pytest.mark.parametrize("method", ["forkserver"], indirect=True)
def test_many_have_died_waiting(ctx, server):
    """As those do that were for a time of hurry."""
    server.prewarm(20)
    server_pid, pids = server._process.pid, server.processes()
    for pid in pids - {server_pid}:
        os.kill(pid, signal.SIGKILL)
    for pidfd in server.descriptors()[::2]:
        assert select.select([pidfd], [], [], PATIENCE)[0]
    run(ctx)
    server.rest()


@functools.cache
def _after_calls(code):
    """Where Python runs the handlers of signals, in bytecode."""
    names = [(i.offset, i.opname) for i in dis.get_instructions(code)]
    checks = "CALL", "CALL_KW", "RESUME"
    return {offset for (_, before), (offset, _) in itertools.pairwise(names) if before in checks}


class Interruption:
    """Does something at the nth place in a function of client.py where a signal handler might."""

    def __init__(self, function, n, action):
        self.function = function
        self.left = n
        self.action = action

    def __call__(self, frame, event, argument):
        if (
            frame.f_code.co_name != self.function
            or frame.f_code.co_filename != sys.modules[type(client).__module__].__file__
        ):
            return None
        frame.f_trace_opcodes = True
        return self.at

    def at(self, frame, event, argument):
        if event == "opcode" and frame.f_lasti in _after_calls(frame.f_code):
            self.left -= 1
            if self.left == 0:
                sys.settrace(None)
                self.action()
        return self.at


def interrupt():
    raise KeyboardInterrupt


@pytest.mark.skipif(sys.version_info[:3] == (3, 13, 0), reason="3.13.0 tells a trace function of no opcodes")
@pytest.mark.parametrize("method", ["forkserver"], indirect=True)
@pytest.mark.parametrize("action", ["raises", "starts"])
def test_a_handler_while_the_server_starts(ctx, server, action):
    """It may raise an exception or start a process itself: there is one server then, and no signal stays blocked."""
    sys._getframe().f_trace_opcodes = True  # without this 3.12.1 tells a trace function of no opcodes
    n, trace, before = 0, sys.gettrace(), children()
    while True:
        n += 1
        end_server()
        there = Interruption("_start", n, interrupt if action == "raises" else lambda: run(ctx))
        process = ctx.Process(target=launched.exit_with, args=(7,))
        sys.settrace(there)
        try:
            process.start()
        except KeyboardInterrupt:
            assert action == "raises"
        finally:
            sys.settrace(trace)
        if process._popen is not None:
            process.join(PATIENCE)
            assert process.exitcode == 7
        assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, ())
        run(ctx)
        for child in [*server._ended, server._process]:
            child.kill()
            child.wait()
        del process
        gc.collect()
        assert children() == before
        if there.left > 0:
            break
    assert n > 10


HOLDING = """
import os, signal
pid = os.fork()
if pid == 0:
    signal.alarm(30)
    os.closerange(0, 3)
    signal.pause()
"""
HELD = """
import mpfast as mp, os, signal, sys
def target(link):
    import holding
    link.send((holding.pid, os.getppid()))
if __name__ == "__main__":
    sys.path.insert(0, {place})
    ctx = mp.get_context("forkserver")
    ctx.set_forkserver_preload(["holding"])
    reader, writer = ctx.Pipe(duplex=False)
    def start():
        process = ctx.Process(target=target, args=(writer,))
        process.start()
        process.join()
        return reader.recv()
    holder, server = start()
    os.kill(server, signal.SIGKILL)
    others = {start() for _ in range(4)} - {(holder, server)}
    os.kill(holder, signal.SIGKILL)
    for other, _ in others:
        if other != holder:
            os.kill(other, signal.SIGKILL)
    print("went on")
"""


def test_a_dead_server_whose_socket_lives(tmp_path):
    """A module that it loaded has forked a process, which has the server's end of the socket."""
    programs.write(tmp_path / "modules" / "holding.py", HOLDING)
    script = programs.write(tmp_path / "script.py", HELD, place=repr(str(tmp_path / "modules")))
    assert programs.run(script, deadline=15).lines() == ["went on"]


class Starter:
    """Starts another process while it is pickled, as a signal handler might."""

    def __init__(self, ctx):
        self.ctx = ctx

    def __reduce__(self):
        run(self.ctx)
        return int, ()


def test_a_process_that_starts_while_another_is_pickled(mp, ctx):
    """What may only be pickled for a child, a lock or the key, still may. (With multiprocessing it may not.)"""
    if mp.__name__ != "mpfast":
        pytest.skip("multiprocessing cannot")
    process = ctx.Process(target=workers.nothing, args=(Starter(ctx), ctx.Lock()))
    process.start()
    process.join(PATIENCE)
    assert process.exitcode == 0
    process.close()


FORKED = """
import mpfast as mp, os, select
if __name__ == "__main__":
    ctx = mp.get_context("forkserver")
    first = ctx.Process(target=int)
    first.start()
    select.select([first.sentinel], [], [])
    pid = os.fork()
    process = ctx.Process(target=os._exit, args=(7,))
    process.start()
    process.join()
    if pid == 0:
        os._exit(process.exitcode)
    print(process.exitcode, os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""


@pytest.mark.parametrize("launch", ["", "table"])
def test_a_fork_that_knows_of_an_end(tmp_path, launch):
    """It has the Process objects of its parent, and start() looks at them."""
    script = programs.write(tmp_path / "script.py", FORKED)
    assert programs.run(script, MPFAST_LAUNCH=launch).lines() == ["7 7"]
