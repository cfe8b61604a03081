# SPDX-License-Identifier: MIT
"""The executor that all users of the integrations share ends with the test."""

import pytest

from mpfast.integrations import loky


@pytest.fixture(autouse=True)
def no_executor_left():
    yield
    if loky._executor is not None:
        loky._executor.shutdown(kill_workers=True)
        loky._executor = None
