# SPDX-License-Identifier: MIT
"""Dask with mpfast's executor: scheduler="processes", pool=executor."""

import pooled
import pytest

import mpfast

dask = pytest.importorskip("dask")


@pytest.fixture(params=["fork", "forkserver", "spawn"])
def executor(request):
    with mpfast.ProcessPoolExecutor(2, mpfast.get_context(request.param)) as made:
        yield made


def test_a_graph(executor):
    square, total = dask.delayed(pooled.square), dask.delayed(sum)
    graph = total([square(n) for n in range(50)])
    assert graph.compute(scheduler="processes", pool=executor) == sum(n * n for n in range(50))
    with pytest.raises(ZeroDivisionError, match="oh"):
        dask.delayed(pooled.fail)("oh").compute(scheduler="processes", pool=executor)
    assert graph.compute(scheduler="processes", pool=executor) == sum(n * n for n in range(50))
