# SPDX-License-Identifier: MIT
"""The measuring process's hold of a peer. The peer plays its part of each batch when it is told to."""

from __future__ import annotations

import multiprocessing
from multiprocessing.context import BaseContext
from typing import Any

from mpfb_peer import Play, serve
from mpfb_play import Things

from ..base.deadline import Limits
from ..base.errors import CellError


class Peer:
    """A process of the implementation that is measured. It lives as long as the cell."""

    def __init__(self, context: BaseContext, play: Play, things: Things, cpus: frozenset[int], limits: Limits) -> None:
        self._limits = limits
        # The orders travel through the stdlib's pipe on both sides, so that only the primitive differs.
        self._link, theirs = multiprocessing.get_context(context.get_start_method()).Pipe()
        self._process = context.Process(  # type: ignore[attr-defined]
            target=serve, args=(theirs, play, things, cpus, limits.batch), daemon=True
        )
        self._process.start()
        theirs.close()

    def origins(self) -> list[str]:
        """The classes of the things, as the peer has them."""
        told: list[str] = self._hear("made of", self._limits.child)
        return told

    def begin(self, count: int) -> None:
        """Order so many operations. ready() blocks until the peer begins with them."""
        self._link.send(count)

    def ready(self) -> None:
        self._hear("ready", self._limits.batch)

    def times(self) -> tuple[int, int]:
        """When the peer began and when it ended. Blocks until it has."""
        begin, end = self._hear("times", self._limits.batch)
        return begin, end

    def _hear(self, expected: str, seconds: float) -> Any:
        try:
            if not self._link.poll(seconds):
                raise CellError(f"the peer said nothing for {seconds:g} s")
            word, value = self._link.recv()
        except (EOFError, ConnectionResetError):
            raise CellError(f"the peer is gone, {self._ending()}") from None
        if word == "failed":
            raise CellError(f"the peer failed:\n{value}")
        if word != expected:
            raise CellError(f"the peer said {word!r}, not {expected!r}")
        return value

    def last_words(self) -> str:
        """Why the peer does not play any more, if it said so."""
        try:
            while self._link.poll(0):
                word, value = self._link.recv()
                if word == "failed":
                    return f"the peer failed:\n{value}"
        except (EOFError, ConnectionResetError):
            return f"the peer is gone, {self._ending()}"
        return ""

    def _ending(self) -> str:
        self._process.join(self._limits.child)
        return f"exit code {self._process.exitcode}"

    def dismiss(self) -> None:
        """Tell the peer to end. stop() blocks until it has, which must go well."""
        self._link.send(0)

    def stop(self) -> None:
        self._process.join(self._limits.child)
        if self._process.exitcode != 0:
            raise CellError(f"the peer ended badly, {self._ending()}")

    def kill(self) -> None:
        if self._process.is_alive():
            self._process.kill()
        self._process.join(self._limits.child)
        self._link.close()
