# SPDX-License-Identifier: MIT
"""The stand-in: programs that say `import multiprocessing` run on mpfast; python -m mpfast runs them as Python does."""

import re
import signal
import subprocess
import sys
import textwrap
import zipfile
from pathlib import Path

import pytest

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.py"))
METHODS = ("fork", "forkserver", "spawn")
PATIENCE = 60


def run(*words, plain=False, stdin=None, cwd=None, options=()):
    """What Python says and how it ends, with mpfast in between or without it."""
    launcher = [] if plain else ["-m", "mpfast"]
    command = [sys.executable, *options, *launcher, *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, input=stdin, cwd=cwd)
    return done.returncode, done.stdout, done.stderr


def script(tmp_path, text, name="program.py"):
    file = tmp_path / name
    file.write_text(textwrap.dedent(text))
    return file


SHOW = """
    import multiprocessing, sys
    from multiprocessing import Lock, Queue, Process

    def child(queue, lock, connection):
        with lock:
            grandchild = multiprocessing.get_context({method!r}).Process(target=deeper, args=(queue,))
            grandchild.start()
            grandchild.join()
        queue.put([kind(thing) for thing in (queue, lock, connection, multiprocessing.Lock())])

    def deeper(queue):
        queue.put([kind(thing) for thing in (queue, multiprocessing.Event(), *multiprocessing.Pipe())])

    def kind(thing):
        return [cls.__module__.partition(".")[0] for cls in type(thing).__mro__ if cls.__module__ != "builtins"][-2:]

    if __name__ == "__main__":
        multiprocessing.set_start_method({method!r})
        queue, lock, (one, other) = Queue(), Lock(), multiprocessing.Pipe()
        process = Process(target=child, args=(queue, lock, other))
        process.start()
        for _ in range(2):
            print(*("mpfast" in where for where in queue.get()), flush=True)
        process.join()
        print(process.exitcode, type(process).__name__, __name__, len(sys.argv))
"""


@pytest.mark.parametrize("method", METHODS)
def test_children_and_grandchildren_have_it(tmp_path, method):
    program = script(tmp_path, SHOW.format(method=method).replace("\n    ", "\n"))
    kind = {"fork": "Process", "forkserver": "Process", "spawn": "Process"}[method]
    expected = f"True True True True\nTrue True True True\n0 {kind} __main__ 1\n"
    assert run(program) == (0, expected, "")


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("example", EXAMPLES, ids=[example.stem for example in EXAMPLES])
def test_examples_unmodified(tmp_path, example, method):
    """With `import multiprocessing` in the place of mpfast."""
    text = re.sub(r"\bmpfast\b", "multiprocessing", example.read_text())
    if "set_start_method" not in text:
        choice = f"multiprocessing.set_start_method({method!r}, force=True)"
        text = f"import multiprocessing\nif __name__ == '__main__':\n    {choice}\n{text}"
    status, out, err = run(script(tmp_path, text, example.name))
    assert (status, err) == (0, "")
    assert out


FACTS = """
    import os, sys
    print(sys.argv, __name__, __spec__ and __spec__.name, globals().get("__file__"), __package__, __doc__)
    print(os.path.realpath(sys.path[0]), sorted(name for name in globals() if not name.startswith("__")))
    print(sys.modules["__main__"].__dict__ is globals())
"""


@pytest.fixture(params=["script", "directory", "zip", "-c", "-", "-m"])
def words(request, tmp_path):
    """A program in each of the ways to name one."""
    text = textwrap.dedent(FACTS)
    if request.param == "script":
        return [script(tmp_path, FACTS), "a", "-b"]
    if request.param == "directory":
        (tmp_path / "folder").mkdir()
        script(tmp_path / "folder", FACTS, "__main__.py")
        return [tmp_path / "folder", "a"]
    if request.param == "zip":
        with zipfile.ZipFile(tmp_path / "program.zip", "w") as file:
            file.writestr("__main__.py", text)
        return [tmp_path / "program.zip", "a"]
    if request.param == "-c":
        return ["-c", text, "a", "-m"]
    if request.param == "-":
        return ["-", "a"]
    script(tmp_path, FACTS, "a_module.py")
    return ["-m", "a_module", "a"]


@pytest.mark.parametrize("options", [[], ["-P"], ["-O"]], ids=str)
def test_as_python_runs_it(tmp_path, words, options):
    if "-m" in words[:1] and "-P" in options:
        pytest.skip("then Python does not find the module")
    here = {"cwd": tmp_path, "stdin": textwrap.dedent(FACTS) if words[0] == "-" else None, "options": options}
    assert run(*words, **here) == run(*words, plain=True, **here)


@pytest.mark.parametrize(
    "ending",
    ["raise ValueError('x')", "(lambda: 1/0)()", "raise SystemExit(3)", "raise SystemExit('why')", "x = = 1"],
)
def test_endings(tmp_path, ending):
    """Status and traceback, to the letter."""
    program = script(tmp_path, f"def outer():\n    {ending}\nouter()\n" if "=" not in ending else ending)
    assert run(program) == run(program, plain=True)
    for text in (ending, f"\n  def outer():\n      {ending}\n  outer()"):
        assert run("-c", text) == run("-c", text, plain=True)


def test_a_hook_of_the_programs_own(tmp_path):
    program = script(
        tmp_path,
        """
        import sys, traceback
        def hook(kind, error, tb):
            print([frame.name for frame in traceback.extract_tb(tb)], error.__traceback__ is tb)
        sys.excepthook = hook
        1/0
        """,
    )
    assert run(program) == run(program, plain=True)
    assert run(program)[1] == "['<module>'] True\n"


def test_ctrl_c(tmp_path):
    program = script(tmp_path, "import os, signal; os.kill(os.getpid(), signal.SIGINT)\nwhile True: pass\n")
    ours, plain = run(program), run(program, plain=True)
    assert ours[0] == plain[0] == -signal.SIGINT
    assert ours == plain


@pytest.mark.parametrize("words", [["no/such/file"], ["-m", "no_such_module"]], ids=str)
def test_no_such_program(words):
    ours, plain = run(*words), run(*words, plain=True)
    assert ours == plain


@pytest.mark.parametrize("words", [["-m"], ["-c"], ["--nonsense"], ["doctor", "--nonsense"]], ids=str)
def test_bad_options(words):
    status, out, err = run(*words)
    assert (status, out) == (2, "")
    assert words[-1] in err
    assert "usage: python -m mpfast" in err


def test_version_and_help():
    assert re.fullmatch(r"mpfast \S+\n", run("--version")[1])
    assert "usage:" in run("--help")[1] == run()[1]


INSIDE = """
    import multiprocessing, multiprocessing.queues, multiprocessing.synchronize, pickle
    from multiprocessing import Process, Queue, get_context, queues
    from multiprocessing.context import reduction
    BoundQueue = queues.Queue
    before = multiprocessing.Queue(), multiprocessing.Lock(), get_context("spawn"), multiprocessing.Value("i", 3)

    class Before(queues.Queue):
        pass

    import mpfast
    assert not mpfast.installed()
    mpfast.install()
    mpfast.install()
    assert mpfast.installed()
"""


def inside(tmp_path, text):
    """Runs this after install()."""
    program = script(tmp_path, textwrap.dedent(INSIDE) + textwrap.dedent(text))
    status, out, err = run(program, plain=True)
    assert (status, err) == (0, ""), err
    return out


def test_names_bound_before(tmp_path):
    out = inside(
        tmp_path,
        """
        made = Queue(), multiprocessing.Queue(), get_context("fork").Queue(), before[2].Queue()
        made += (BoundQueue(ctx=before[2]),)
        print(*(isinstance(queue, mpfast.queues.Queue) for queue in made))
        print(isinstance(made[0], BoundQueue), get_context("spawn") is before[2], type(before[2]).__module__)
        print(multiprocessing.get_start_method() == mpfast.get_start_method())
        """,
    )
    assert out == "True True True True False\nTrue True mpfast.context\nTrue\n"


def test_shared_memory_bound_before(tmp_path):
    """What was made before stays what it was, and what is made after is both."""
    program = script(
        tmp_path,
        """
        import pickle
        from multiprocessing import sharedctypes, shared_memory
        from multiprocessing.shared_memory import ShareableList, SharedMemory
        from multiprocessing.sharedctypes import Synchronized, SynchronizedArray

        class Mine(SharedMemory):
            pass

        old, mine = SharedMemory(create=True, size=10), Mine(create=True, size=10)
        import multiprocessing, mpfast
        mpfast.install()
        value, array = multiprocessing.Value("i"), multiprocessing.Array("i", 3)
        print(isinstance(value, Synchronized), isinstance(array, SynchronizedArray))
        print(isinstance(value, sharedctypes.Synchronized), isinstance(array, sharedctypes.SynchronizedArray))
        new, listed = shared_memory.SharedMemory(create=True, size=10), shared_memory.ShareableList([1])
        print(isinstance(new, SharedMemory), isinstance(listed, ShareableList), new, type(new).__module__)
        for each in (old, mine):
            copy = pickle.loads(pickle.dumps(each))
            print(type(copy) is type(each), copy.name == each.name)
            copy.close()

        class After(shared_memory.SharedMemory):
            pass

        after = After(create=True, size=10)
        print(after)
        print(isinstance(after, SharedMemory), after.name.startswith("psm_"))
        for each in (old, mine, new, listed.shm, after):
            each.close()
            each.unlink()
        """,
    )
    status, out, err = run(program, plain=True)
    assert (status, err) == (0, "")
    assert out.splitlines() == [
        *(
            "True True",
            "True True",
            "True True SharedMemory(None, size=10) mpfast.shared_memory",
            "True True",
            "True True",
        ),
        "After(None, size=10)",
        "True True",
    ]


def test_names_in_a_loop(tmp_path):
    """The interpreter takes shorter ways to the names of a module that is looked up often."""
    text = """
        import mpfast, multiprocessing.connection, multiprocessing.queues, multiprocessing.synchronize
        mpfast.install()
        found = set()
        for _ in range(1000):
            found.add(multiprocessing.queues.Queue)
            found.add(multiprocessing.synchronize.Lock)
            found.add(multiprocessing.connection.Connection)
        print(len(found))
    """
    status, out, err = run(script(tmp_path, text), plain=True)
    assert (status, out, err) == (0, "3\n", "")


@pytest.mark.parametrize("method", METHODS)
def test_objects_made_before(tmp_path, method):
    """Stdlib objects go on as they were, in children too."""
    out = inside(
        tmp_path,
        f"""
        def child(queue, lock, value):
            with lock:
                value.value += 1
                queue.put(type(queue).__module__)

        if __name__ == "__main__":
            ctx = get_context({method!r})
            theirs = before
            process = ctx.Process(target=child, args=(theirs[0], theirs[1], theirs[3]))
            if {method!r} == "fork":
                process.start()
                print(theirs[0].get(), theirs[3].value)
                process.join()
            else:
                print("mpfast.standin.stdlib 4")
        """,
    )
    assert out.endswith("mpfast.standin.stdlib 4\n")


def test_subclasses(tmp_path):
    """Before and after: all private parts are there."""
    out = inside(
        tmp_path,
        """
        class After(queues.Queue):
            def __init__(self, *args, **keywords):
                super().__init__(*args, **keywords)
                self.mine = 1

        class Both(After, Before):
            pass

        for cls in (Before, After, Both):
            queue = cls(3, ctx=get_context("fork"))
            queue.put(cls.__name__)
            print(queue.get(), queue._maxsize, hasattr(queue, "_notempty"), isinstance(queue, BoundQueue))
            queue.close()
            queue.join_thread()
        print(issubclass(After, queues.Queue))
        """,
    )
    assert out == "Before 3 True True\nAfter 3 True True\nBoth 3 True True\nFalse\n"


def test_mock_patch_of_any_name(tmp_path):
    out = inside(
        tmp_path,
        """
        from unittest import mock
        import multiprocessing.connection, multiprocessing.pool
        for name in ("queues.Queue", "synchronize.Lock", "connection.Pipe", "connection.wait", "pool.Pool", "Process"):
            module, _, name = f"multiprocessing.{name}".rpartition(".")
            module = __import__(module, fromlist=["x"])
            genuine = getattr(module, name)
            with mock.patch(f"{module.__name__}.{name}") as fake:
                assert getattr(module, name) is fake
            assert getattr(module, name) is genuine, name
        with mock.patch("multiprocessing.queues.Queue") as fake:
            assert multiprocessing.Queue() is fake.return_value
        print(type(multiprocessing.Queue()).__mro__[1].__module__)
        """,
    )
    assert out == "mpfast.queues\n"


@pytest.mark.parametrize("method", METHODS)
def test_executor_and_pool(tmp_path, method):
    program = script(
        tmp_path,
        f"""
        import multiprocessing
        from concurrent.futures import ProcessPoolExecutor

        if __name__ == "__main__":
            ctx = multiprocessing.get_context({method!r})
            with ProcessPoolExecutor(2, mp_context=ctx) as executor:
                print(list(executor.map(abs, range(-3, 0))))
            with ctx.Pool(2) as pool:
                print(pool.map(abs, range(-3, 0)))
            with multiprocessing.Manager() as manager:
                print(manager.list([1, 2]), type(manager.Lock()).__name__)
        """,
    )
    assert run(program) == (0, "[3, 2, 1]\n[3, 2, 1]\n[1, 2] AcquirerProxy\n", "")


def test_a_fresh_fork_server(tmp_path):
    """Who stops it by its private method, as tests do, has the next child load the new list."""
    (tmp_path / "a_module.py").write_text("")
    text = """
        import multiprocessing, multiprocessing.forkserver, sys

        def show():
            print("a_module" in sys.modules, flush=True)

        if __name__ == "__main__":
            context = multiprocessing.get_context("forkserver")
            for _ in range(2):
                process = context.Process(target=show)
                process.start()
                process.join()
                multiprocessing.forkserver._forkserver._stop()
                context.set_forkserver_preload(["a_module"])
    """
    assert run(script(tmp_path, text), cwd=tmp_path) == (0, "False\nTrue\n", "")


def test_isolated_interpreters(tmp_path):
    """PYTHONPATH does not reach them, and they find mpfast all the same."""
    folder = Path(__import__("mpfast").__file__).parent.parent
    program = script(
        tmp_path,
        f"""
        import sys
        sys.path.insert(0, {str(folder)!r})
        import mpfast
        mpfast.install()
        import multiprocessing
        if __name__ == "__main__":
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                print(pool.apply(mpfast.installed))
        """,
    )
    status, out, err = run(program, plain=True, options=["-I"])
    assert (status, out, err) == (0, "True\n", "")


def test_what_is_imported(tmp_path):
    """A program that uses nothing pays for nothing."""
    names = {"mpfast.queues", "mpfast.sync.mutex", "mpfast.connection"}
    names |= {"multiprocessing.connection", "multiprocessing.util"}
    assert run("-c", f"import sys; print(*{names} & {{*sys.modules}})") == (0, "\n", "")
