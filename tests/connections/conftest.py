# SPDX-License-Identifier: MIT
"""The two ends of each kind of wire. A module that wants them otherwise overrides `pair`."""

import pytest
import talk


@pytest.fixture(params=talk.WIRES)
def wire(request):
    return request.param


@pytest.fixture
def pair(connection, wire):
    return talk.ends(connection, wire)


@pytest.fixture
def reader(pair):
    return pair[0]


@pytest.fixture
def writer(pair):
    return pair[1]
