# SPDX-License-Identifier: MIT
"""Debuggers and tracers that follow a program into its children. Skipped where the tool is not installed."""

import json

import debugged
import programs
import pytest

PROGRAM = """
import {mp} as mp, multiprocessing.forkserver
def target():
    number = 1
    return number + 1
if __name__ == "__main__":
    ctx = mp.get_context({method})
    processes = [ctx.Process(target=target) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    print(*[process.exitcode for process in processes], flush=True)
    multiprocessing.forkserver._forkserver._stop()
"""
LINE = 1 + PROGRAM.splitlines().index("    return number + 1")


@pytest.fixture
def path(mp, method, tmp_path):
    return programs.write(tmp_path / "program.py", PROGRAM, mp=mp.__name__, method=repr(method))


@pytest.mark.timeout(240)
def test_debugpy_stops_in_children(mp, method, path, tmp_path):
    """At a breakpoint in each of them, and they go on."""
    pytest.importorskip("debugpy")
    if (mp.__name__, method) == ("multiprocessing", "spawn"):
        pytest.skip("debugpy waits for the resource tracker of multiprocessing, which waits for the program")
    done = programs.run(debugged.__file__, LINE, path, deadline=180, cwd=tmp_path, PYDEVD_DISABLE_FILE_VALIDATION="1")
    assert done.out.splitlines() == ["0 0", "exit code 0, 2 stops"]


@pytest.mark.timeout(240)
def test_viztracer_traces_children(path, tmp_path):
    pytest.importorskip("viztracer")
    trace = tmp_path / "trace.json"
    done = programs.run("-m", "viztracer", "--quiet", "-o", trace, path, deadline=180, cwd=tmp_path)
    assert done.out.split() == ["0", "0"]
    events = json.loads(trace.read_text())["traceEvents"]
    assert len({event["pid"] for event in events if event["name"].startswith("target ")}) == 2
