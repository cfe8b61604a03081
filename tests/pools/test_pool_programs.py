# SPDX-License-Identifier: MIT
"""Programs with a pool or an executor, up to their end. What they print, and that no process of them is left."""

import abilities
import programs
import pytest
from abilities import executor_class

import mpfast

START = """
import os, signal, sys, threading, time
import concurrent.futures
import {package} as mp
from {module} import {name} as Executor

def square(n):
    return n * n

def keep(*things):
    global kept
    kept = things

def hold(n=0):
    kept[0].release()
    time.sleep(600)

def tell(n):
    os.write(1, b"%d\\n" % n)
    return n

def begun(semaphore, count):
    for _ in range(count):
        assert semaphore.acquire(timeout=20)
"""


@pytest.fixture
def run(tmp_path, mp, method):
    """run(text): the program's end. `ctx` is the context in it."""

    def run_program(text):
        executor = executor_class(mp)
        start = START.replace("{package}", mp.__name__).replace("{name}", executor.__name__)
        start = start.replace("{module}", mp.__name__ if executor is abilities.EXECUTOR else "concurrent.futures")
        body = 'if __name__ == "__main__":\n    ctx = mp.get_context("{method}")\n' + programs.textwrap.indent(
            programs.textwrap.dedent(text), "    "
        )
        return programs.run(programs.write(tmp_path / "program.py", start + body, method=method))

    return run_program


def silent(mp):
    """Do workers end without a word of their own?"""
    return abilities.SURVIVES and mp.__name__ == "mpfast"


def test_a_pool_that_nobody_closes(run):
    """Ends with the program, although its workers are busy."""
    done = run("""
        begin = ctx.Semaphore(0)
        pool = ctx.Pool(2, keep, (begin,))
        print(pool.map(square, range(4)), flush=True)
        result = pool.map_async(hold, range(9))
        begun(begin, 2)
        iterator = pool.imap(hold, range(9))
    """)
    assert done.lines() == ["[0, 1, 4, 9]"]


def test_a_program_that_fails(run):
    """Beside a busy pool. Its own error is what it says."""
    done = run("""
        begin = ctx.Semaphore(0)
        pool = ctx.Pool(2, keep, (begin,))
        result = pool.map_async(hold, range(9))
        begun(begin, 2)
        raise LookupError("the end")
    """)
    assert (done.code, done.out) == (1, "")
    assert done.err.endswith("LookupError: the end\n")
    assert done.err.count("Traceback") == 1


def test_exit_from_a_with_block(run):
    done = run("""
        begin = ctx.Semaphore(0)
        with ctx.Pool(2, keep, (begin,)) as pool:
            result = pool.map_async(hold, range(9))
            begun(begin, 2)
            sys.exit(5)
    """)
    assert (done.code, done.out, done.err) == (5, "", "")


@pytest.mark.parametrize("call", ["pool.map(hold, range(2), 1)", "list(pool.imap(hold, range(2)))"])
def test_ctrl_c_of_everybody(run, mp, call):
    """The terminal interrupts the workers as well. The caller gets one KeyboardInterrupt."""
    done = run(f"""
        signal.signal(signal.SIGINT, signal.default_int_handler)
        begin = ctx.Semaphore(0)
        pool = ctx.Pool(2, keep, (begin,))
        def interrupt():
            begun(begin, 2)
            os.killpg(0, signal.SIGINT)
        threading.Thread(target=interrupt).start()
        try:
            {call}
        except KeyboardInterrupt:
            print("interrupted")
        pool.terminate()
        pool.join()
        print("over")
    """)
    assert (done.code, done.out) == (0, "interrupted\nover\n")
    if silent(mp):
        assert done.err == ""


def test_an_executor_that_nobody_shuts_down(run):
    """The program waits for what is pending."""
    done = run("""
        executor = Executor(2, mp_context=ctx)
        futures = [executor.submit(tell, n) for n in range(6)]
    """)
    assert (done.code, done.err) == (0, "")
    assert sorted(done.out.split()) == ["0", "1", "2", "3", "4", "5"]


def test_submit_at_the_end(run):
    """Is refused once the program has ended."""
    done = run("""
        import atexit
        executor = Executor(2, mp_context=ctx)
        assert executor.submit(square, 3).result() == 9
        @atexit.register
        def late():
            try:
                executor.submit(square, 4)
            except RuntimeError as error:
                print(error)
    """)
    [said] = done.lines()
    assert said in (f"cannot schedule new futures after {what}shutdown" for what in ("", "interpreter "))


def test_shutdown_without_waiting(run):
    """The program still waits for what was submitted."""
    done = run("""
        executor = Executor(2, mp_context=ctx)
        futures = [executor.submit(tell, n) for n in range(4)]
        executor.shutdown(wait=False)
        del executor
    """)
    assert (done.code, done.err) == (0, "")
    assert sorted(done.out.split()) == ["0", "1", "2", "3"]


def test_a_killed_owner(run, mp):
    """Of mpfast's own pools the workers end with it. In multiprocessing busy ones stay until they are done."""
    if not silent(mp):
        pytest.skip("multiprocessing leaves busy workers behind")
    done = run("""
        begin = ctx.Semaphore(0)
        pool = ctx.Pool(2, keep, (begin,))
        result = pool.map_async(hold, range(9))
        begun(begin, 2)
        os.kill(os.getpid(), signal.SIGKILL)
    """)
    assert done.code == -9


@pytest.mark.parametrize("end", ["pool.terminate(); pool.join()", "executor.shutdown()"])
def test_a_program_that_closes_all_descriptors(run, mp, end):
    """The pool ends then all the same, without a complaint."""
    if mp is not mpfast:
        pytest.skip("multiprocessing's pool hangs then")
    done = run(f"""
        pool, executor = ctx.Pool(1), Executor(1, mp_context=ctx)
        print(pool.apply_async(square, (2,)).get(), executor.submit(square, 3).result(), flush=True)
        os.closerange(3, 1000)
        {end}
        print("ended", flush=True)
        os._exit(0)
    """)
    assert done.lines() == ["4 9", "ended"]
