# SPDX-License-Identifier: MIT
"""Was a queue one queue? Judges what several processes saw, by the times at which their calls began and ended.

A history is linearizable if each call can be given one instant between its begin and its end such that a plain FIFO
queue would have answered all of them so. `faults` looks for the patterns that make this impossible, in n log n. It is
exact for histories without maxsize: Henzinger, Sezgin and Vafeiadis, "Aspect-oriented linearizability proofs" (2013).
`outcomes` tries all ways, for short histories, with maxsize exactly: Wing and Gong (1993), with the memory of Lowe
(2017).

Values are distinct. A call that never returned, as its process was killed, ends NEVER.
"""

import bisect
import math
from collections.abc import Iterable, Iterator
from typing import NamedTuple

NEVER = math.inf


class Call(NamedTuple):
    kind: str  # put, get, full: a put that was refused, empty: a get that was refused
    value: int | None
    begin: float
    end: float


class History:
    """What happened to each value, and the refusals."""

    def __init__(self, calls: Iterable[Call]):
        self.calls = sorted(calls, key=lambda call: call.begin)
        self.of_kind = {kind: [c for c in self.calls if c.kind == kind] for kind in ("put", "get", "full", "empty")}
        self.puts = {call.value: call for call in self.of_kind["put"]}
        self.gets = {call.value: call for call in self.of_kind["get"] if call.value is not None}
        self.unknown = [call for call in self.of_kind["get"] if call.value is None]  # killed while they got something

    def taken(self, value: int | None) -> Call:
        """The get that returned the value. One that never came, or was killed, may have taken it or not."""
        return self.gets.get(value, Call("get", value, NEVER, NEVER))


def faults(calls: Iterable[Call], maxsize: int = 0) -> list[str]:
    """What cannot be, in words. Empty if the history may be that of a FIFO queue."""
    history = History(calls)
    found = [*values(history), *order(history), *wrongly_empty(history)]
    if maxsize > 0:
        found += [*overfull(history, maxsize), *wrongly_full(history, maxsize)]
    return found


def values(history: History) -> Iterator[str]:
    seen = set()
    if len(history.puts) != len(history.of_kind["put"]):
        yield "the values that were put are not distinct"
    for call in history.of_kind["get"]:
        if call.value is None:
            continue
        if call.value in seen:
            yield f"{call.value} came twice"
        seen.add(call.value)
        if call.value not in history.puts:
            yield f"{call.value} was never put"
        elif call.end < history.puts[call.value].begin:
            yield f"{call.value} came before it was put"


def order(history: History) -> Iterator[str]:
    """a was in before b, and b was out before a. What was never got is out last, unless a killed get may have it."""
    excused = len(history.unknown)
    puts = sorted(history.puts.values(), key=lambda call: call.end)
    latest, last, k = -1.0, None, 0
    for later in sorted(history.puts.values(), key=lambda call: call.begin):
        while k < len(puts) and puts[k].end < later.begin:
            out = history.taken(puts[k].value).begin
            if out == NEVER and excused > 0:
                excused -= 1
            elif out > latest:
                latest, last = out, puts[k].value
            k += 1
        if later.value in history.gets and history.taken(later.value).end < latest:
            yield f"{later.value} overtook {last}" if latest < NEVER else f"{last} was lost: {later.value} came"


def surely_inside(history: History) -> list[tuple[float, float]]:
    """The times at which some value was in the queue: from the end of its put to the begin of its get, united."""
    united: list[tuple[float, float]] = []
    spans = ((put.end, history.taken(put.value).begin) for put in history.puts.values())
    known = sorted(span for span in spans if span[0] < span[1] and not (history.unknown and span[1] == NEVER))
    for begin, end in known:
        if united and begin < united[-1][1]:
            united[-1] = united[-1][0], max(united[-1][1], end)
        else:
            united.append((begin, end))
    return united


def wrongly_empty(history: History) -> Iterator[str]:
    spans = surely_inside(history)
    for call in history.of_kind["empty"]:
        k = bisect.bisect_left(spans, (call.begin, call.begin)) - 1
        if k >= 0 and spans[k][0] < call.begin and call.end < spans[k][1]:
            yield f"Empty from {call.begin} to {call.end}, though there was an item from {spans[k][0]} to {spans[k][1]}"


def counts(history: History, least: bool) -> Iterator[tuple[float, int]]:
    """(time, how many items there were from then on): at least, or at most, as far as the history says."""
    changes = []
    for put in history.puts.values():
        get = history.taken(put.value)
        inside, outside = (put.end, get.begin) if least else (put.begin, get.end)
        changes += [(inside, not least, 1), (outside, least, -1)]
    count = 0
    for time, _, change in sorted(changes, key=lambda c: (c[0], not c[1])):
        if time < NEVER:
            count += change
            yield time, count


def overfull(history: History, maxsize: int) -> Iterator[str]:
    excused = len(history.unknown)
    for time, count in counts(history, least=True):
        if count > maxsize + excused:
            yield f"{count} items at {time}, with maxsize={maxsize}"


def wrongly_full(history: History, maxsize: int) -> Iterator[str]:
    steps = [(-1.0, 0), *counts(history, least=False)]
    times = [time for time, _ in steps]
    for call in history.of_kind["full"]:
        first, last = bisect.bisect_left(times, call.begin) - 1, bisect.bisect_right(times, call.end)
        if max(count for _, count in steps[max(first, 0) : last]) < maxsize:
            yield f"Full from {call.begin} to {call.end}, though there were never {maxsize} items"


def outcomes(calls: Iterable[Call], maxsize: int, contents: Iterable[tuple[int, ...]]) -> set[tuple[int, ...]]:
    """What can be in a FIFO queue after the calls if before the first there was one of the contents in it."""
    pending = sorted(calls, key=lambda call: call.begin)
    ends, seen, stack = set(), set(), [(0, content) for content in contents]
    while stack:
        state = stack.pop()
        if state in seen:
            continue
        seen.add(state)
        done, inside = state
        left = [k for k in range(len(pending)) if not done >> k & 1]
        first_end = min((pending[k].end for k in left), default=NEVER)
        if first_end == NEVER:
            ends.add(inside)
        for k in left:
            after = answer(pending[k], inside, maxsize) if pending[k].begin <= first_end else None
            if after is not None:
                stack.append((done | 1 << k, after))
    return ends


def linearizable(calls: Iterable[Call], maxsize: int = 0) -> bool:
    """Is there an order of all calls that a FIFO queue, empty at first, would answer so?"""
    return bool(outcomes(calls, maxsize, [()]))


def answer(call: Call, inside: tuple[int, ...], maxsize: int) -> tuple[int, ...] | None:
    """The content after the call, or None if a queue with this content would have answered something else."""
    is_full = maxsize > 0 and len(inside) >= maxsize
    if call.kind == "put":
        return None if is_full else (*inside, call.value)
    if call.kind == "get":
        return inside[1:] if inside and call.value in (inside[0], None) else None
    return inside if (is_full if call.kind == "full" else not inside) else None
