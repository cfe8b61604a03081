# SPDX-License-Identifier: MIT
"""tqdm's process_map() with mpfast's executor, which it takes from concurrent.futures."""

import concurrent.futures

import pooled
import pytest

import mpfast

tqdm = pytest.importorskip("tqdm")


@pytest.mark.parametrize("chunksize", [1, 7])
def test_process_map(monkeypatch, capsys, chunksize):
    """It counts what is done by a submit() of its own, which map() has to call."""
    from tqdm.contrib.concurrent import process_map

    made = []

    class Executor(mpfast.ProcessPoolExecutor):
        def __init__(self, *args, **options):
            super().__init__(*args, **options)
            made.append(self)

    monkeypatch.setattr(tqdm.tqdm, "monitor_interval", 0)
    monkeypatch.setattr(concurrent.futures, "ProcessPoolExecutor", Executor)
    assert process_map(pooled.square, range(70), max_workers=2, chunksize=chunksize) == [n * n for n in range(70)]
    assert len(made) == 1
    assert f"{70 // chunksize}/70" in capsys.readouterr().err


def test_another_submit(monkeypatch):
    """A submit() that a program has put in the place of the executor's gets the calls of map()."""
    calls = []
    with mpfast.ProcessPoolExecutor(2) as executor:
        submit = executor.submit

        def counted(*args, **options):
            calls.append(args)
            return submit(*args, **options)

        executor.submit = counted
        assert list(executor.map(pooled.square, range(20), chunksize=5)) == [n * n for n in range(20)]
        assert len(calls) == 4
        assert list(executor.map(pooled.add, range(5), range(5))) == [0, 2, 4, 6, 8]
        assert len(calls) == 9
        del executor.submit
