# SPDX-License-Identifier: MIT
"""Dicts and lists that processes share: mpfast's, and the proxies of multiprocessing's managers."""

import contextlib
import multiprocessing

import pytest

import mpfast

KINDS = ["plain", "proxy", "shared"]


@pytest.fixture(params=KINDS)
def kind(request):
    return request.param


@pytest.fixture
def classes(kind):
    """(dict, list) of this kind. The proxies' server is started by fork."""
    with contextlib.ExitStack() as stack:
        if kind == "proxy":
            manager = stack.enter_context(multiprocessing.get_context("fork").Manager())
            yield manager.dict, manager.list
        else:
            yield (dict, list) if kind == "plain" else (mpfast.shared.Dict, mpfast.shared.List)


@pytest.fixture
def new_dict(classes):
    return classes[0]


@pytest.fixture
def new_list(classes):
    return classes[1]


@pytest.fixture
def makers(ctx):
    """What has the makers of dicts and lists of this package and start method. See tabled.py."""
    with contextlib.ExitStack() as stack:
        yield stack.enter_context(ctx.Manager()) if ctx.__module__ == "multiprocessing.context" else ctx.shared
