# SPDX-License-Identifier: MIT
from collections.abc import Iterable
from typing import Any

def wait(object_list: Iterable[Any], timeout: float | None = None) -> list[Any]: ...
