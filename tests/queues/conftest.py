# SPDX-License-Identifier: MIT
"""Queues to test. A module whose tests are about other kinds overrides `kind`."""

import pytest


@pytest.fixture(params=["Queue", "SimpleQueue"])
def kind(request):
    return request.param


@pytest.fixture
def make(ctx, kind):
    """make(maxsize=0, kind=kind): a queue that is closed when the test ends, whatever is left in it."""
    made = []

    def make_queue(*args, kind=kind, **options):
        made.append(getattr(ctx, kind)(*args, **options))
        return made[-1]

    yield make_queue
    for q in made:
        q.close()
        if hasattr(q, "cancel_join_thread"):  # a SimpleQueue has no thread
            q.cancel_join_thread()
    made.clear()


@pytest.fixture
def q(make):
    return make()
