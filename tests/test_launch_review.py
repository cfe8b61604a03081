# SPDX-License-Identifier: MIT
"""What a child finds as its main module and the preloaded modules left it, and starts after others have failed."""

import json

import programs
import pytest

STATE = """
import {mp} as mp, gc, json, os, signal, sys
def handler(*_):
    pass
gc.disable()
for name in ("SIGINT", "SIGCHLD", "SIGTERM"):
    signal.signal(getattr(signal, name), handler)
def target(link):
    handled = [signal.getsignal(s) is sys.modules["__main__"].handler for s in (signal.SIGINT, signal.SIGCHLD, signal.SIGTERM)]
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
    programs.write(place / "wandering.py", "import os, sys; os.chdir('/usr'); sys.path.append('/nowhere'); sys.argv = ['?']")
    names = {"mp": mp.__name__, "method": repr(method), "place": repr(str(place)), "modules": repr(modules)}
    script = programs.write(tmp_path / "script.py", STATE, **names)
    for line in programs.run(script, cwd=tmp_path, MPFAST_LAUNCH=launch).lines():
        assert json.loads(line) == [False, [True, True, True], str(tmp_path), False, [str(script)]]
