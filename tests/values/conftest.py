# SPDX-License-Identifier: MIT
"""Values and Arrays of both packages."""

import importlib

import pytest


@pytest.fixture
def sharedctypes(mp):
    """The module of multiprocessing or mpfast."""
    return importlib.import_module(f"{mp.__name__}.sharedctypes")
