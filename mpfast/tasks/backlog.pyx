# SPDX-License-Identifier: MIT
# cython: language_level=3
"""Backlog: the jobs that wait for room in the ring, in the order in which they are dealt."""

from mpfast.tasks.desk cimport Job

from collections import deque
from heapq import heappop, heappush


cdef class Backlog:
    """Jobs of a higher priority come first, and among equals the one that was there first. Without a priority it is 0."""

    def __cinit__(self):
        self.plain, self.ranks = deque(), []

    def __len__(self):
        return len(self.plain) + len(self.ranks)

    def append(self, Job job):
        """At the end of its rank."""
        if job.priority == 0:
            self.plain.append(job)
        else:
            heappush(self.ranks, (-job.priority, job.number, job))

    def appendleft(self, Job job):
        """Back, where popleft() has taken it from."""
        if job.priority == 0:
            self.plain.appendleft(job)
        else:
            heappush(self.ranks, (-job.priority, job.number, job))

    def popleft(self):
        """The first one. Raises IndexError if there is none."""
        if self.ranks and (self.ranks[0][0] < 0 or not self.plain):
            return heappop(self.ranks)[2]
        return self.plain.popleft()

    def clear(self):
        self.plain.clear()
        self.ranks.clear()
