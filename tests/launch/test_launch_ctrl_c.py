# SPDX-License-Identifier: MIT
"""Ctrl-C at any instant of start(): there is a child if and only if there is its pid, and KeyboardInterrupt is raised.

multiprocessing loses children in this test, and now and then the exception, so it runs on mpfast alone.
"""

import json
import os
import signal
from pathlib import Path

import harness
import launched
import programs
import pytest
from harness import PATIENCE, until

STORM = Path(programs.__file__).with_name("ctrl_c.py")
SPARE = 20  # descriptors and processes that a context may keep ready, more than at first
FULL = int(os.environ.get("MPFAST_CTRL_C", "10000"))


def storm(method, rounds, whom, deadline):
    done = programs.run(STORM, "mpfast", method, rounds, whom, deadline=deadline)
    assert done.code == 0, done.err[-2000:]
    seen = json.loads(done.out)
    assert seen["problems"] == []
    assert seen["seen"]["during start()"] + seen["seen"]["after start()"] == rounds
    assert seen["seen"]["during start()"] > rounds / 20, "hardly any signal came during start()"
    assert seen["seen"]["child"] + seen["seen"]["no child"] == rounds
    for before, after in zip(seen["before"], seen["after"], strict=True):
        assert after <= before + SPARE
    if whom == "one":
        assert done.err == ""


@pytest.mark.parametrize("whom", ["one", "group"])
@pytest.mark.parametrize(("method", "rounds"), [("fork", 200), ("forkserver", 150), ("spawn", 40)])
def test_signals_during_start(method, rounds, whom):
    storm(method, rounds if whom == "one" else rounds // 5, whom, 60)


@pytest.mark.stress
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
def test_ten_thousand_signals_during_start(method):
    storm(method, FULL // 10 if method == "spawn" else FULL, "one", 1100)


@pytest.mark.parametrize("call", ["join", "join with timeout"])
def test_interrupted_join(mp, method, tmp_path, call):
    """KeyboardInterrupt comes at once, and join() can be called again: on multiprocessing as well."""
    text = """
    import {mp} as mp, signal, threading, time
    if __name__ == "__main__":
        signal.signal(signal.SIGINT, signal.default_int_handler)
        ctx = mp.get_context({method})
        process = ctx.Process(target=time.sleep, args=(60,))
        process.start()
        for _ in range(3):
            threading.Timer(0.02, signal.pthread_kill, (threading.main_thread().ident, signal.SIGINT)).start()
            try:
                process.join({timeout})
            except KeyboardInterrupt:
                print("interrupted", process.is_alive())
        process.kill()
        process.join()
        print(process.exitcode)
    """
    timeout = {"join": "", "join with timeout": "50"}[call]
    script = programs.write(tmp_path / "script.py", text, mp=mp.__name__, method=repr(method), timeout=timeout)
    assert programs.run(script).lines() == ["interrupted True"] * 3 + ["-9"]


def test_a_child_is_interrupted(ctx):
    """SIGINT is what it is in a program: the target gets KeyboardInterrupt, whoever started the process."""
    event = ctx.Event()
    process = ctx.Process(target=launched.quietly, args=(launched.nap, event))
    process.start()
    assert event.wait(PATIENCE)
    until(lambda: harness.thread_state(process.pid, process.pid) == "S", "the child sleeps")
    os.kill(process.pid, signal.SIGINT)
    process.join(PATIENCE)
    assert process.exitcode == 1
    process.close()


def test_a_parent_that_ignores_sigint(mp, method, tmp_path):
    """Its children ignore it too, where they inherit that: it is what nohup and `&` make use of."""
    text = """
    import {mp} as mp, signal
    def handler(link):
        link.send(signal.getsignal(signal.SIGINT) is signal.SIG_IGN)
    if __name__ == "__main__":
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        ctx = mp.get_context({method})
        reader, writer = ctx.Pipe(duplex=False)
        process = ctx.Process(target=handler, args=(writer,))
        process.start()
        print(reader.recv())
        process.join()
    """
    script = programs.write(tmp_path / "script.py", text, mp=mp.__name__, method=repr(method))
    assert programs.run(script).lines() == ["True"]
