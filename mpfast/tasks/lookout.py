# SPDX-License-Identifier: MIT
"""Lookout: what a crew sleeps on. The drainer and the butler are woken when a worker ends."""

from __future__ import annotations

import contextlib
import os
import select
import time

__all__ = ["Lookout"]

DEAF = 0.05  # seconds between two looks of a butler that cannot be called
LONGEST = 1e6  # seconds that the kernel is asked to wait at once


class Lookout:
    def __init__(self) -> None:
        self.ends = select.epoll()
        self.sleeper = select.epoll()
        self.sleeper.register(self.ends.fileno(), select.EPOLLIN)
        self.sleeping_on: set[int] = set()

    def add(self, fd: int) -> None:
        """From now on sleep() and rest() end when the descriptor is readable."""
        with contextlib.suppress(FileExistsError, ValueError):  # it is closed, since nobody waits any more
            self.ends.register(fd, select.EPOLLIN)

    def drop(self, fd: int) -> None:
        with contextlib.suppress(OSError, ValueError):
            self.ends.unregister(fd)

    def readable(self) -> set[int]:
        """The descriptors that are readable. None are if the program has closed this one, which sleep() says."""
        with contextlib.suppress(OSError):
            return {fd for fd, _ in self.ends.poll(0)}
        return set()

    def sleep(self, bell: int, nudged: int, timeout: float | None) -> None:
        """The drainer sleeps until one of the two is readable, or a worker ends."""
        self.watched(bell, nudged)
        for fd, _ in self.sleeper.poll(None if timeout is None else min(timeout, LONGEST)):
            if fd == nudged:
                with contextlib.suppress(BlockingIOError):
                    os.eventfd_read(nudged)

    def watched(self, bell: int, nudged: int) -> int:
        """A descriptor that is readable if one of the two is, or if a worker has ended."""
        for fd in (bell, nudged):
            if fd not in self.sleeping_on:
                with contextlib.suppress(FileExistsError):  # another thread, or an interrupt, came between these two
                    self.sleeper.register(fd, select.EPOLLIN)
                self.sleeping_on.add(fd)
        return self.sleeper.fileno()

    def rest(self, called: int, timeout: float | None, watch: bool) -> bool:
        """The butler sleeps until it is called or, if `watch`, a worker ends. True: one has ended."""
        poll = select.poll()
        poll.register(called, select.POLLIN)
        if watch:  # without workers as well, since others may be started meanwhile
            poll.register(self.ends.fileno(), select.POLLIN)
        ready = dict(poll.poll(None if timeout is None else min(timeout, LONGEST) * 1000))
        if called in ready:
            try:
                os.eventfd_read(called)
            except BlockingIOError:
                pass
            except OSError:  # the program has closed it
                time.sleep(DEAF)
        return len(ready) > (called in ready)

    def close(self) -> None:
        for closed in (self.sleeper, self.ends):
            with contextlib.suppress(OSError):  # the program has closed its descriptor
                closed.close()
