/* SPDX-License-Identifier: MIT */
/* One pinned block, its owner, the children that inherited views of it, and whoever gets the block after them.
 *
 * Process 0 has taken the block and forks CHILDREN children; all of them keep views of it for a while, and then have
 * done with it. A stranger takes the block whenever it is free. Killing is as in lock.pml; the last reaper is never
 * killed.
 *
 * Checked: the block is not freed while a living process keeps views of it, or while the stranger has it; and when all
 * have done with it or were reaped, it is free.
 *
 * Ghost: keeps, that is: has views, from before its birth until it begins to let go of them. */

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
byte holder[KEEPERS]; /* an entry of the block's: 0, or the era, and whether the process has begun to leave */
bool born[KEEPERS];
bool over[KEEPERS];   /* has ended by itself, or was reaped */
byte right[KEEPERS];  /* who may reap it, process + 1 */
bool up[PROCESSES];
bool keeps[KEEPERS];

#define HOLDS(era) ((era) << 2 | 1)
#define LEAVING(era) ((era) << 2 | 2)
#define HELD(byte) (byte != 0 && up[byte - 1])
#define ENDED(p) (!over[p] && (born[p] -> !up[p] : !up[0]))

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

/* hold_end, for participant p: this process, or one that is being reaped. Its entry is cleared last: as long as it is
 * there, somebody finishes. */
inline hold_end(p)
{
    e = holder[p] >> 2;
#ifdef NO_ERA
    e = 0;
#endif
    if
#ifdef CLEAR_FIRST
    :: atomic { holder[p] == 0 && word != 0 && OWNER(word) == p -> e = ERA(word) }
#else
    :: holder[p] == 0 && word != 0 && OWNER(word) == p -> /* never shared: nobody else knows of it */
        atomic { keeps[p] = false; expect_unused(); word = 0; goto ended }
#endif
    :: holder[p] == 0 && !(word != 0 && OWNER(word) == p) -> goto ended
    :: else
    fi;
#ifdef CLEAR_FIRST
    atomic { holder[p] = 0; keeps[p] = false };
#else
    atomic { holder[p] = LEAVING(e); keeps[p] = false };
#endif
    do
    :: atomic {
           w = word;
           if
           :: w == 0 || ERA(w) != e || (OWNER(w) < KEEPERS && holder[OWNER(w)] == HOLDS(e)) -> break
           :: else
           fi
       };
       atomic {
           n = 0;
           do
           :: n < KEEPERS && holder[n] != HOLDS(e) -> n++
           :: else -> break
           od
       };
       atomic {
           if
           :: word == w && n < KEEPERS -> word = OWNED(n, w >> 3)
           :: word == w && n == KEEPERS ->
               expect_unused();
               assert(OWNER(w) != STRANGER);
               word = 0;
               break
           :: else
           fi
       }
    od;
    atomic { /* somebody else may have the entry by now */
        if
        :: holder[p] == LEAVING(e) -> holder[p] = 0
        :: else
        fi
    };
ended:
    atomic { w = 0; e = 0; n = 0 }
}

proctype keeper(byte me) provided (up[me])
{
    byte w, e, n, c;

    if
    :: me == 0 -> c = 1
    :: me != 0 -> born[me]; goto work
    fi;
    do
    :: c <= CHILDREN -> /* queues_fork, then the fork */
        holder[0] = HOLDS(ERA(word));
#ifdef FORK_FIRST
        atomic { born[c] = true; keeps[c] = true };
        holder[c] = HOLDS(ERA(word));
#else
        holder[c] = HOLDS(ERA(word));
        atomic { born[c] = true; keeps[c] = true };
#endif
        c++
    :: c > CHILDREN -> break
    od;
work:
    hold_end(me);
    atomic { over[me] = true; c = 0 }
}

proctype stranger()
{
    byte turns, mine;
end:
    do
    :: turns < USES ->
        atomic { word == 0 -> era++; word = OWNED(STRANGER, era); mine = word };
        atomic { assert(word == mine); word = 0; turns++ }
    :: turns >= USES -> break
    od
}

proctype reaper(byte me) provided (up[me])
{
    byte w, e, n, p;

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
    hold_end(p);
    atomic { over[p] = true; right[p] = 0; p = 0; goto end }
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
