# SPDX-License-Identifier: MIT
# cython: language_level=3
"""Reads a family's tables for diagnostics. Nothing here writes, blocks, or is needed by the primitives."""

from libc.stdint cimport uint32_t, uint64_t
from mpfast.core.base.atomic cimport load32, load64, load64_acquire
from mpfast.core.locks.barrier cimport BARRIER_BROKEN, barrier, barrier_count
from mpfast.core.base.clock cimport clock_now
from mpfast.core.locks.event cimport event, event_is_set
from mpfast.core.family.family cimport FAMILY_SMALL_SLOTS, family, slot_at
from mpfast.core.locks.lock cimport LOCK_DEAD, LOCK_OWNER, lock
from mpfast.core.family.participant cimport *
from mpfast.core.locks.semaphore cimport bounded, bounded_value, semaphore, semaphore_value
from mpfast.core.family.slots cimport *
from mpfast.core.tables.table cimport table_header
from mpfast.family.family cimport default_family

_KINDS = {SLOT_LOCK: "Lock", SLOT_RLOCK: "RLock", SLOT_SEMAPHORE: "Semaphore", SLOT_BOUNDED: "BoundedSemaphore",
          SLOT_EVENT: "Event", SLOT_CONDITION: "Condition", SLOT_BARRIER: "Barrier", SLOT_QUEUE: "Queue",
          SLOT_DICT: "Dict", SLOT_LIST: "List"}


cdef _waiters(family *f):
    """slot -> the threads that sleep on it."""
    cdef uint32_t i, k, tid
    cdef double now = clock_now() / 1e9
    found = {}
    for i in range(1, load32(&f.header.participants_top)):
        state = load64_acquire(&f.participants[i].state)
        if state_kind(state) == PARTICIPANT_FREE:
            continue
        for k in range(4):
            tid = load32(&f.participants[i].waits[k].tid)
            if tid:
                since = load64(&f.participants[i].waits[k].since) / 1e9
                found.setdefault(load32(&f.participants[i].waits[k].slot), []).append(
                    (state_pid(state), tid, max(0.0, now - since)))
    return found


cdef _lock_facts(family *f, lock *l):
    cdef uint32_t word = load32(&l.word)
    if word == 0:
        return "free", 0, 0
    if word & LOCK_DEAD:
        return "abandoned", load32(&l.dead_pid), load32(&l.dead_tid)
    cdef uint64_t state = load64_acquire(&f.participants[identity_index(word)].state)
    if state_generation(state) != identity_generation(word):
        return "left held", 0, 0
    text = "left held" if state_kind(state) == PARTICIPANT_LEFT else "held"
    return text, state_pid(state), load32(&l.holder)


cdef _value(void *cell, slot_kind_t kind):
    cdef uint64_t word
    if kind == SLOT_SEMAPHORE:
        return str(semaphore_value(<semaphore *>cell))
    if kind == SLOT_BOUNDED:
        return f"{bounded_value(<bounded *>cell)} of {(<bounded *>cell).size}"
    if kind == SLOT_EVENT:
        return "set" if event_is_set(<event *>cell) else "unset"
    if kind == SLOT_BARRIER:
        word = load64(&(<barrier *>cell).word)
        return "broken" if word & BARRIER_BROKEN else f"{barrier_count(word)} of {(<barrier *>cell).parties}"
    return ""


def objects():
    """Tuples (kind, slot, state, holder pid, holder tid, waiters, repairs) of every object in this process's family."""
    cdef family *f = default_family()
    if f == NULL:
        return []
    cdef uint32_t slot
    cdef uint64_t state
    waiters = _waiters(f)
    found = []
    slots = [*range(load32(&f.header.slots_top[0])),
             *range(FAMILY_SMALL_SLOTS, FAMILY_SMALL_SLOTS + load32(&f.header.slots_top[1]))]
    for slot in slots:
        state = load64_acquire(&f.states[slot])
        kind = slot_kind(state)
        repairs = 0
        if kind in (SLOT_LOCK, SLOT_RLOCK):
            text, pid, tid = _lock_facts(f, <lock *>slot_at(f, slot))
        elif kind in (SLOT_DICT, SLOT_LIST):
            text, pid, tid = _lock_facts(f, <lock *>slot_at(f, slot))
            repairs = load32(&(<table_header *>slot_at(f, slot)).repairs)
        elif kind in _KINDS:
            text, pid, tid = _value(slot_at(f, slot), kind), 0, 0
        else:
            continue
        found.append((_KINDS[kind], slot, text, pid, tid, waiters.get(slot, []), repairs))
    return found


def usage():
    """The most (participants, small slots, large slots) in use at once in this process's family, or None."""
    cdef family *f = default_family()
    if f == NULL:
        return None
    return (load32(&f.header.participants_top) - 1, load32(&f.header.slots_top[0]), load32(&f.header.slots_top[1]))
