/* SPDX-License-Identifier: MIT */
/* One pinned block, its owner, the children that inherited views of it, and the process that gets the block after them.
 *
 * Process 0 has taken the block and forks CHILDREN children (CHAIN: one, and each child forks the next). All of them
 * keep views of it for a while, and are then done with it. A stranger takes the block whenever it is free, and shares
 * it, too, with no process in particular. Killing is as in lock.pml. The last reaper is never killed.
 *
 * Checked: the block is not freed while a living process keeps views of it, or while the stranger has it. When all are
 * done with it or were reaped, it is free.
 *
 * Ghost: keeps. A process keeps the block from before its birth until it begins to let go of its views. */

#ifndef CHILDREN
#define CHILDREN 1
#endif
#ifndef REAPERS
#define REAPERS 0
#endif
#ifndef KILLS
#define KILLS 0
#endif
#ifndef USES
#define USES 1 /* of the stranger */
#endif
#define KEEPERS (1 + CHILDREN)
#define STRANGER KEEPERS
#define PROCESSES (KEEPERS + 1 + REAPERS)

/* The block's word: 0 = free, or an owner and an era, which is another one each time that the block is allocated. */
#define OWNED(p, era) (1 + (p) | (era) << 3)
#define OWNER(w) (((w) & 7) - 1)
#ifdef NO_ERA
#define ERA(w) 0
#else
#define ERA(w) ((w) >> 3)
#endif

byte word = OWNED(0, 1);
byte era = 1;
byte mine; /* the word of the stranger, while it has the block */
byte shared; /* the last era in which the owner shared it */
bool holder[KEEPERS + 1];
bool born[KEEPERS];
bool over[KEEPERS];  /* has ended by itself, or was reaped */
byte right[KEEPERS]; /* who may reap it, process + 1 */
bool up[PROCESSES];
bool keeps[KEEPERS];

#define SHARED(s, w) (s != 0 && w != 0 && ERA(w) == ERA(OWNED(0, s)))
#define HELD(byte) (byte != 0 && up[byte - 1])
#ifdef CHAIN
#define PARENT(p) (p - 1)
#else
#define PARENT(p) 0
#endif
#define ENDED(p) (!over[p] && (born[p] -> !up[p] : p != 0 && !up[PARENT(p)]))

inline expect_unused()
{
    assert(!(keeps[0] && up[0]));
#if CHILDREN > 0
    assert(!(keeps[1] && up[1]));
#endif
#if CHILDREN > 1
    assert(!(keeps[2] && up[2]));
#endif
}

/* Whoever has done with the block, and whoever reaps a process, does this for a block that was shared in era e. */
inline hold_settle(e)
{
    do
    :: atomic {
           w = word;
           if
           :: w == 0 || ERA(w) != e || holder[OWNER(w)] -> break
           :: else
           fi
       };
#ifdef CHAIN /* step by step, and downwards, as a child that comes meanwhile may be behind us */
       n = KEEPERS + 1;
       do
       :: atomic { n > 0 && !holder[n - 1] -> n-- }
       :: else -> break
       od;
#else
       atomic {
           n = KEEPERS + 1;
           do
           :: n > 0 && !holder[n - 1] -> n--
           :: else -> break
           od
       };
#endif
       atomic {
           if
           :: word == w && n > 0 -> word = OWNED(n - 1, w >> 3)
           :: word == w && n == 0 ->
               expect_unused();
               assert(OWNER(w) != STRANGER || mine == 0);
               word = 0;
               break
           :: else
           fi
       }
    od
}

/* hold_add, for the caller */
inline hold_add_me(p)
{
#ifdef SHARED_FIRST
    shared = word >> 3;
    holder[p] = true
#else
    holder[p] = true;
    shared = word >> 3
#endif
}

/* For a process that is alive: the block is its own, or it holds it. */
inline hold_end(p)
{
    e = ERA(word);
    atomic { holder[p] = false; keeps[p] = false };
    hold_settle(e);
    atomic { w = 0; e = 0; n = 0 }
}

proctype keeper(byte me) provided (up[me])
{
    byte w, e, n, c;

    if
    :: me == 0 -> c = 1
    :: me != 0 -> born[me]; c = me + 1
    fi;
    do
#ifdef CHAIN
    :: c == me + 1 && c <= CHILDREN -> /* stores_fork, then the fork */
#else
    :: me == 0 && c <= CHILDREN ->
#endif
        if
        :: !holder[me] -> hold_add_me(me)
        :: else
        fi;
#ifdef FORK_FIRST
        atomic { born[c] = true; keeps[c] = true };
        holder[c] = true;
#else
        holder[c] = true;
#ifndef NO_CLAIM
        word = OWNED(me, word >> 3);
#endif
        atomic { born[c] = true; keeps[c] = true };
#endif
        c++
    :: else -> break
    od;
work:
    hold_end(me);
    atomic { over[me] = true; c = 0 }
}

proctype stranger()
{
    byte turns, w, e, n;
end:
    do
    :: turns < USES ->
        atomic { word == 0 -> era++; word = OWNED(STRANGER, era); mine = word };
        if
        :: hold_add_me(STRANGER)
        :: skip
        fi;
        atomic { assert(word == mine); mine = 0; e = ERA(word) };
        holder[STRANGER] = false;
        hold_settle(e);
        atomic { w = 0; e = 0; n = 0; turns++ }
    :: turns >= USES -> break
    od
}

/* reap_block: what was not shared is the dead one's alone, or not its at all. */
proctype reaper(byte me) provided (up[me])
{
    byte w, e, n, p;
    bool was_shared;

#define REAP(x) atomic { ENDED(x) && !HELD(right[x]) -> right[x] = me + 1; p = x }
end:
    if
    :: REAP(0)
#if CHILDREN > 0
    :: REAP(1)
#endif
#if CHILDREN > 1
    :: REAP(2)
#endif
    fi;
#ifdef WORD_FIRST
    w = word;
    atomic {
        was_shared = SHARED(shared, w);
#else
    e = shared;
    atomic {
        w = word;
        was_shared = SHARED(e, w);
#endif
        e = ERA(w);
#ifdef HOLDERS_ONLY
        if
        :: w != 0 && OWNER(w) != p && !holder[p] -> w = 0; e = 0; goto done
        :: else
        fi
#endif
    };
    holder[p] = false;
    if
    :: was_shared -> hold_settle(e)
    :: !was_shared && w != 0 && OWNER(w) == p -> atomic { assert(word == w); expect_unused(); word = 0 }
    :: else
    fi;
done:
    atomic { over[p] = true; right[p] = 0; p = 0; w = 0; e = 0; n = 0; was_shared = false; goto end }
}

proctype killer()
{
    byte victim, kills;
    do
    :: kills < KILLS ->
        atomic {
            select (victim : 0 .. KEEPERS - 1 + (REAPERS > 1 -> REAPERS - 1 : 0));
            if
            :: victim < KEEPERS && !over[victim] && (born[victim] || victim == 0) -> up[victim] = false
            :: victim >= KEEPERS -> up[victim + 1] = false
            :: else
            fi;
            kills++;
            victim = 0
        }
    :: break
    od
}

/* When nothing can move any more. A child that its killed parent never bore is one of the dead, too. */
proctype clock()
{
    timeout;
    assert(word == 0)
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
        born[0] = true;
        keeps[0] = true;
        do
        :: i < KEEPERS -> run keeper(i); i++
        :: i == KEEPERS -> run stranger(); i++
        :: i > KEEPERS && i < PROCESSES -> run reaper(i); i++
        :: i >= PROCESSES -> break
        od;
        run clock();
        if
        :: KILLS > 0 -> run killer()
        :: else
        fi
    }
}
