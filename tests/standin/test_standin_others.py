# SPDX-License-Identifier: MIT
"""Third parties that use multiprocessing's classes and private parts say the same on the stand-in as without it."""

import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec

import pytest

PATIENCE = 60
WAYS = ("plain", "launcher", "first", "last")
INSTALL = "import mpfast; mpfast.install()\n"

JOBLIB = """
    import joblib
    # imported
    def square(n):
        return n * n

    if __name__ == "__main__":
        for backend in ("loky", "multiprocessing", "threading"):
            work = (joblib.delayed(square)(n) for n in range(6))
            print(backend, joblib.Parallel(n_jobs=2, backend=backend)(work))
"""

LOKY = """
    import loky
    # imported
    def square(n):
        return n * n

    if __name__ == "__main__":
        executor = loky.get_reusable_executor(max_workers=2)
        print(list(executor.map(square, range(6))))
        try:
            executor.submit(divmod, 1, 0).result()
        except ZeroDivisionError as error:
            print(error)
        executor.shutdown()
"""

FUTURES = """
    import multiprocessing
    from concurrent.futures import ProcessPoolExecutor
    # imported
    def square(n):
        return n * n

    if __name__ == "__main__":
        for method in ("fork", "forkserver", "spawn"):
            context = multiprocessing.get_context(method)
            with ProcessPoolExecutor(2, mp_context=context) as executor:
                print(method, list(executor.map(square, range(6))), executor.submit(int, "9").result())
"""

MOCK = """
    import multiprocessing, multiprocessing.connection
    from unittest import mock
    # imported
    NAMES = ("multiprocessing.Queue", "multiprocessing.Process", "multiprocessing.connection.wait")

    if __name__ == "__main__":
        for name in NAMES:
            with mock.patch(name, return_value="patched") as patched:
                print(name, eval(name)(), patched.call_count)
        queue = multiprocessing.Queue()
        process = multiprocessing.Process(target=queue.put, args=(7,))
        process.start()
        print(queue.get(), multiprocessing.connection.wait([process.sentinel], 30) == [process.sentinel])
        process.join()
"""

PROGRAMS = {"joblib": JOBLIB, "loky": LOKY, "concurrent.futures": FUTURES, "unittest.mock": MOCK}


def command(tmp_path, text, how):
    """The program as it is, under `python -m mpfast`, or with install() before its imports or after them."""
    text = textwrap.dedent(text)
    if how == "first":
        text = INSTALL + text
    elif how == "last":
        text = text.replace("# imported\n", INSTALL)
    file = tmp_path / f"{how}.py"
    file.write_text(text)
    return [sys.executable, *(("-m", "mpfast") if how == "launcher" else ()), str(file)]


def said(words):
    done = subprocess.run(words, capture_output=True, text=True, timeout=PATIENCE)
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize("package", PROGRAMS)
def test_says_the_same(tmp_path, package):
    if find_spec(package) is None:
        pytest.skip(f"{package} is not installed")
    commands = [command(tmp_path, PROGRAMS[package], how) for how in WAYS]
    with ThreadPoolExecutor(2) as threads:
        plain, *others = threads.map(said, commands)
    assert (plain[0], plain[2]) == (0, "")
    assert plain[1]
    assert dict(zip(WAYS[1:], others, strict=True)) == dict.fromkeys(WAYS[1:], plain)
