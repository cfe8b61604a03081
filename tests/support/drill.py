# SPDX-License-Identifier: MIT
"""Slowdowns to order: a copy of mpfast's sources in which one primitive at a time can be made to take longer.

MPFAST_DRILL=<which>:<turns> makes the function number `which` of PLACES turn a loop so often before it does its work.
"""

import re
from pathlib import Path

LOOP = """
#ifndef MPFAST_DRILL_H
#define MPFAST_DRILL_H

#include <stdio.h>
#include <stdlib.h>

static unsigned drill_turns[32];

__attribute__((constructor)) static void drill_begin(void)
{
    unsigned which, turns;
    const char *text = getenv("MPFAST_DRILL");
    if (text && sscanf(text, "%u:%u", &which, &turns) == 2 && which < 32)
        drill_turns[which] = turns;
}

__attribute__((unused)) static void drill(int which)
{
    for (volatile unsigned i = 0; i < drill_turns[which]; i++)
        ;
}

#endif
"""

PLACES = (  # the cell in which it must show, the header, the function
    ("locks/with_lock/fork/one_cpu", "locks/lock.h", "lock_try"),
    ("locks/with_rlock/fork/one_cpu", "locks/rlock.h", "rlock_release"),
    ("locks/semaphore/fork/one_cpu", "locks/semaphore.h", "semaphore_try"),
    ("locks/bounded/fork/one_cpu", "locks/bounded.h", "bounded_try"),
    ("locks/event_is_set/fork/one_cpu", "locks/event.h", "event_is_set"),
    ("locks/event_turns/fork/one_cpu", "locks/event.h", "event_set"),
    ("locks/condition_turns/fork/one_cpu", "locks/condition.h", "condition_take"),
    ("locks/barrier_turns/fork/one_cpu", "locks/barrier.h", "barrier_arrive"),
    ("locks/make_lock/fork/one_cpu", "life/handle.h", "handle_claim"),
    ("queues/self_int/fork/one_cpu", "queue/queue.h", "queue_put_value"),
    ("queues/stream_dict/fork/one_cpu", "queue/queue.h", "queue_put"),
    ("queues/trip_int/fork/one_cpu", "queue/queue.h", "queue_take"),
    ("launch/start_join/fork/one_cpu", "child/child.h", "child_hold_signals"),
)


def prepare(package: Path) -> None:
    """Puts the loops into the sources."""
    core = package / "core"
    (core / "drill.h").write_text(LOOP)
    for header in {header for _, header, _ in PLACES}:
        source = (core / header).read_text()
        guard, include = r"(?m)^(#define MPFAST_\w+_H\n)", r'\1#include "core/drill.h"\n'
        (core / header).write_text(re.sub(guard, include, source, count=1))
    for which, (_, header, function) in enumerate(PLACES):
        source = (core / header).read_text()
        opening = re.compile(rf"(?m)^(static [^;{{}}]*\b{function}\([^;{{}}]*\)\s*\n?{{\n)")
        source, found = opening.subn(lambda m, which=which: f"{m[0]}    drill({which});\n", source)
        assert found == 1, f"{function} was found {found} times in {header}"
        (core / header).write_text(source)
