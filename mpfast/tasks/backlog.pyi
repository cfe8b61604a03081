# SPDX-License-Identifier: MIT
from collections import deque as deque
from heapq import heappop as heappop
from heapq import heappush as heappush

from typing_extensions import disjoint_base

from .desk import Job

@disjoint_base
class Backlog:
    """Jobs of a higher priority come first."""

    def __len__(self) -> int: ...
    def append(self, job: Job) -> None: ...
    def appendleft(self, job: Job) -> None: ...
    def popleft(self) -> Job: ...
    def clear(self) -> None: ...
