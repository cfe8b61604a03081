# SPDX-License-Identifier: MIT
"""Managers: groups of calls, calls of two threads, and making a proxy. Single calls are a kind of talk."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from itertools import repeat
from typing import Any

from ..kinds.alone import make_and_drop
from ..kinds.managed import Managed
from ..kinds.scenario import ONE_METHOD, Scenario

GROUP = 32
_other = ThreadPoolExecutor(1)
CALLS = [("__getitem__", ("a",))] * GROUP


def get(mapping: Any, count: int) -> None:
    for _ in repeat(None, count):
        mapping["a"]


def get_many(mapping: Any, count: int) -> None:
    """Groups, where the package has them."""
    call_many = getattr(mapping, "call_many", None)
    for _ in repeat(None, count):
        if call_many is not None:
            call_many(CALLS)
        else:
            get(mapping, GROUP)


def get_in_two_threads(mapping: Any, count: int) -> None:
    """So many in each of them. The other thread is always the same one."""
    other = _other.submit(get, mapping, count)
    get(mapping, count)
    other.result()


def mapping_of(manager: Any) -> Any:
    return manager.dict(a=1)


def maker_of(manager: Any) -> Any:
    return manager.dict


SCENARIOS: tuple[Scenario, ...] = (
    Managed(
        "manager_many",
        "manager's dict, 32 reads",
        "Manager",
        "call_many() of 32 reads, beside 32 reads one by one (per read)",
        mapping_of,
        get_many,
        units=GROUP,
        methods=ONE_METHOD,
        first_batch=1,
    ),
    Managed(
        "manager_threads",
        "manager's dict, two threads",
        "Manager",
        'd["a"] in two threads of a process (per read)',
        mapping_of,
        get_in_two_threads,
        units=2,
        methods=ONE_METHOD,
    ),
    Managed(
        "manager_make",
        "create manager.dict()",
        "Manager",
        "manager.dict(), dropped at once",
        maker_of,
        make_and_drop,
        True,
        methods=ONE_METHOD,
        first_batch=2,
    ),
)
