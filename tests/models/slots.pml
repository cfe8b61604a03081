/* SPDX-License-Identifier: MIT */
/* One slot, counted by reference bits. It is claimed, vouched for, offered, dropped, and dropped for killed processes.
 *
 * Makers (participants 0 .. MAKERS-1) claim the slot, TURNS times each. Every holder may vouch for a child (the
 * participants after them) before it drops its own bit. With OFFERS, a holder may also offer the slot, and a maker without
 * it takes the offer instead of claiming. The holder waits for nothing, so it drops its bit at any step of the taker's.
 * Killing is as in lock.pml. The last reaper is never killed.
 *
 * Checked: the slot is never freed while a living participant holds it by right. Once all have dropped it or were
 * reaped, it is free.
 *
 * Ghost: holds. A participant holds it if it claimed the slot, or was born with it, and has not begun to drop it. */

#ifndef MAKERS
#define MAKERS 2
#endif
#ifndef CHILDREN
#define CHILDREN 1
#endif
#ifndef TURNS
#define TURNS 1
#endif
#ifndef REAPERS
#define REAPERS 0
#endif
#ifndef KILLS
#define KILLS 0
#endif
#ifndef OFFERS
#define OFFERS 0
#endif
#define PARTICIPANTS (MAKERS + CHILDREN)
#define PROCESSES (PARTICIPANTS + REAPERS)

#define LIVE 1
#define KIND(s) ((s) & 1)
#ifdef NO_GENERATION
#define FREED(s) ((s) & ~LIVE)
#else
#define FREED(s) (((s) & ~LIVE) + 2)
#endif

byte state;                   /* LIVE or not, generation */
bool ref[PARTICIPANTS];       /* who keeps the slot */
bool dropping[PARTICIPANTS];  /* whose drop may be half done: its bit is clear, but perhaps nobody has looked since */
byte vouched;                 /* how often somebody has set another's bit */
byte parent[PARTICIPANTS];    /* of a child to be, participant + 1 */
bool born[PARTICIPANTS];
bool up[PROCESSES];
bool reaped[PARTICIPANTS];
byte right[PARTICIPANTS];     /* who may reap, process + 1 */
bool holds[PARTICIPANTS];
byte giver;                   /* of the last offer, participant + 1, */
byte offered;                 /* and the state that it has named */
byte offers;

/* Until a child is born, its parent keeps its entry. */
#define ENDED(q) (born[q] -> !up[q] : parent[q] != 0 && !up[parent[q] - 1])
#define HELD(byte) (byte != 0 && up[byte - 1])
#define HELD_BY_RIGHT(q) (holds[q] && up[q])

#ifdef SCAN_ONCE
#define STILL(count) true
#else
#define STILL(count) (vouched == count)
#endif

/* slot_referenced in slots.h: `found`. */
inline slot_referenced(but)
{
    do
    :: atomic { before = vouched; found = false };
       do
       :: atomic { i < PARTICIPANTS && !found -> found = (ref[i] && i != but); i++ }
       :: atomic { i == PARTICIPANTS || found -> i = 0; break }
       od;
       if
       :: atomic { found || STILL(before) -> before = 0; break }
       :: atomic { !found && !STILL(before) }
       fi
    od
}

/* slot_drop in slots.h; q: this process, or one that is being reaped. */
inline slot_drop(q)
{
#ifndef NO_NOTE
    dropping[q] = true;
#endif
#ifdef STATE_FIRST
    s = state;
#endif
#ifdef SCAN_FIRST
    slot_referenced(q);
#endif
    atomic { ref[q] = false; holds[q] = false };
#ifndef STATE_FIRST
    s = state;
#endif
#ifndef SCAN_FIRST
    if
    :: KIND(s) == LIVE -> slot_referenced(PARTICIPANTS)
    :: KIND(s) != LIVE
    fi;
#endif
    atomic {
        if
        :: KIND(s) == LIVE && !found && state == s ->
            assert(!HELD_BY_RIGHT(0));
#if MAKERS + CHILDREN > 1
            assert(!HELD_BY_RIGHT(1));
#endif
#if MAKERS + CHILDREN > 2
            assert(!HELD_BY_RIGHT(2));
#endif
            state = FREED(s)
        :: else
        fi;
        s = 0; found = false
    };
#ifndef NO_NOTE
    dropping[q] = false
#endif
}

/* member_copy_refs in membership.h, for a child that begins to live after it; which is when it may use the slot. */
inline vouch()
{
    if
#if CHILDREN > 0
    :: atomic { parent[MAKERS] == 0 && me != MAKERS -> c = MAKERS; parent[c] = me + 1 }
#endif
#if CHILDREN > 1
    :: atomic { parent[MAKERS + 1] == 0 && me != MAKERS + 1 -> c = MAKERS + 1; parent[c] = me + 1 }
#endif
#if OFFERS > 0
    :: atomic { offers < OFFERS -> offers++; giver = me + 1; offered = state; goto drop }
#endif
    :: goto drop
    fi;
    ref[c] = true;
    vouched++;
    atomic { born[c] = true; holds[c] = true; c = 0 }
}

/* handle_adopt in handle.h. Leads to keep or drop. */
inline adopt()
{
#ifdef LOOK_FIRST
    found = ref[c];
#endif
    ref[me] = true;
#ifndef NO_VOUCH
    vouched++;
#endif
#ifdef NO_GIVER
    found = true;
#endif
#if !defined LOOK_FIRST && !defined NO_GIVER
    found = ref[c];
#endif
    atomic {
        c = 0;
        if
        :: found && state == s -> found = false; s = 0; holds[me] = true; goto keep
        :: else -> found = false; s = 0; goto drop
        fi
    }
}

proctype participant(byte me) provided (up[me])
{
    byte i, s, c, before, turns;
    bool found;

    if
    :: me < MAKERS
    :: me >= MAKERS -> born[me]; goto keep
    fi;
claim: /* slot_take in slots.h */
    turns++;
#if OFFERS > 0
    if
    :: atomic { giver != 0 && giver != me + 1 -> c = giver - 1; s = offered }; adopt()
    :: skip
    fi;
#endif
    atomic {
        s = state;
        if
        :: KIND(s) == LIVE -> s = 0; goto next
        :: else
        fi
    };
#ifndef TAKE_FIRST
    ref[me] = true;
#endif
    atomic {
        if
        :: state == s -> state = s | LIVE; holds[me] = true; s = 0
        :: else -> s = 0; goto drop
        fi
    };
#ifdef TAKE_FIRST
    ref[me] = true;
#endif
keep:
    vouch();
drop:
    slot_drop(me);
next:
    if
    :: me < MAKERS && turns < TURNS -> goto claim
    :: else
    fi;
    turns = 0
}

/* reap_if_gone and reap_entry in reap.h */
proctype reaper(byte me) provided (up[me])
{
    byte i, s, q, before;
    bool found;

#define REAP(x) atomic { ENDED(x) && !reaped[x] && !HELD(right[x]) -> right[x] = me + 1; q = x }
end:
    if
    :: REAP(0)
    :: REAP(1)
#if MAKERS + CHILDREN > 2
    :: REAP(2)
#endif
    fi;
    if
    :: ref[q] || dropping[q] -> slot_drop(q)
    :: !ref[q] && !dropping[q]
    fi;
    atomic { reaped[q] = true; right[q] = 0; q = 0; goto end }
}

proctype killer()
{
    byte victim, kills;
    do
    :: kills < KILLS ->
        atomic {
            select (victim : 0 .. PARTICIPANTS - 1 + (REAPERS > 1 -> REAPERS - 1 : 0));
            if
            :: victim >= PARTICIPANTS -> up[victim] = false
            :: victim < PARTICIPANTS && born[victim] -> up[victim] = false
            :: else
            fi;
            kills++;
            victim = 0
        }
    :: break
    od
}

proctype clock()
{
    timeout;
    assert(KIND(state) != LIVE)
}

init
{
    byte i;
    atomic {
        do
        :: i < PROCESSES -> up[i] = true; i++
        :: else -> break
        od;
        i = 0;
        do
        :: i < PARTICIPANTS -> born[i] = (i < MAKERS); run participant(i); i++
        :: i >= PARTICIPANTS && i < PROCESSES -> run reaper(i); i++
        :: i >= PROCESSES -> break
        od;
        run clock();
        if
        :: KILLS > 0 -> run killer()
        :: else
        fi
    }
}
