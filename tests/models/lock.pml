/* SPDX-License-Identifier: MIT */
/* The lock word, the death of its owner, and the recycling of the dead owner's participant entry.
 *
 * A worker acquires the lock, works, releases it, or leaves (ends normally) while it holds it. Every process may be
 * killed before each of its atomic steps: `provided (up[p] == UP)` stops it there, and the kernel drops its byte locks.
 * FUTEX_WAIT compares and falls asleep in one step. FUTEX_WAKE wakes any living sleeper. Two ways of time:
 *   BACKSTOP undefined   no sleeper wakes by itself, so one that sleeps when nothing else can move was lost
 *   BACKSTOP defined     sleepers also wake by expiry, EARLY times each at any moment (ANYTIME: without limit), and all
 *                        together whenever nothing else can move. More than ROUNDS of the latter is a hang
 *
 * Ghosts (no process decides by them): holder, left. A dead holder stays the holder until the lock is recovered. */

#ifndef WORKERS
#define WORKERS 3   /* processes 0 .. WORKERS-1, with an entry each from the start */
#endif
#ifndef NEWCOMERS
#define NEWCOMERS 0 /* processes that need an entry first; there is none before a dead one's is freed */
#endif
#ifndef REAPERS
#define REAPERS 0   /* processes that notice one dead participant each */
#endif
#ifndef KILLS
#define KILLS 0
#endif
#ifndef STOPS
#define STOPS 0     /* how many reapers may be stopped for ever, as by SIGSTOP */
#endif
#ifndef TURNS
#define TURNS 1     /* how often each worker wants the lock */
#endif
#ifndef EARLY
#define EARLY 1
#endif
#ifndef LEAVERS
#define LEAVERS 0   /* workers below this may end while they hold the lock, or just before they release it */
#endif
#ifndef HASTY
#define HASTY 0     /* workers below this have a timeout, or a signal handler that raises, at any moment */
#endif
#define ROUNDS (3 * KILLS + 3)
#define LOCKERS (WORKERS + NEWCOMERS)
#define PROCESSES (LOCKERS + REAPERS)
#define ENTRIES (WORKERS + 1)

/* The lock word: two flags, entry, generation. */
#define W 1
#define DEAD 2
#define ID(e, g) ((e) << 2 | (g) << 4)
#define OWNER(v) ((v) & 60)
#define INDEX(v) ((v) >> 2 & 3)
#define GENERATION(v) ((v) >> 4)

/* The state word of an entry: kind, generation, pid. */
#define FREE 0
#define LIVE 1
#define LEFT 2
#define STATE(k, g, p) ((k) | (g) << 2 | (p) << 4)
#define KIND(s) ((s) & 3)
#define GEN(s) ((s) >> 2 & 3)
#define PID(s) ((s) >> 4)

#ifdef NO_GENERATION
#define NEXT(g) (g)
#else
#define NEXT(g) ((g) + 1)
#endif
#ifdef ONE_BYTE
#define RIGHT lock_byte
#else
#define RIGHT right_byte
#endif

#define GONE 0 /* killed, or ended */
#define UP 1
#define STOPPED 2

byte word;
byte state[ENTRIES];      /* entry 0 is never used */
byte lock_byte[ENTRIES];  /* who has the OFD lock of the entry's process, process + 1 */
byte right_byte[ENTRIES]; /* who has the OFD lock that is the right to reap or take the entry, process + 1 */
bool ref[ENTRIES];        /* the entry's reference bit for the lock's slot */
bool asleep[LOCKERS];
bool expired[LOCKERS];
byte up[PROCESSES];
bool left[LOCKERS];       /* ghost: it said goodbye before it ended */
byte holder;              /* ghost: process + 1 */

#define HELD(byte) (byte != 0 && up[byte - 1] != GONE)
#define KILLED(p) (up[p] == GONE && !left[p])
#define NOBODY_HOLDS (holder == 0)
#define I_HOLD (holder == p + 1)
#define KILLED_HOLDER (holder != 0 && KILLED(holder - 1))

inline futex_wake_one()
{
    atomic {
        if
        :: asleep[0] && up[0] == UP -> asleep[0] = false
        :: asleep[1] && up[1] == UP -> asleep[1] = false
#if LOCKERS > 2
        :: asleep[2] && up[2] == UP -> asleep[2] = false
#endif
#if LOCKERS > 3
        :: asleep[3] && up[3] == UP -> asleep[3] = false
#endif
        :: else
        fi
    }
}

inline all_wake(by_expiry)
{
    i = 0;
    do
    :: i < LOCKERS ->
        if
        :: asleep[i] && up[i] == UP -> asleep[i] = false; expired[i] = by_expiry
        :: else
        fi;
        i++
    :: else -> break
    od;
    i = 0
}

/* lock_abandon in lock.h, for the owner named in v. */
inline lock_abandon()
{
    do
    :: atomic {
#ifdef STORE_DEAD
            true ->
#else
            word == v ->
#endif
            assert(KILLED_HOLDER);
#ifdef RELEASE
            word = 0; holder = 0;
#else
            word = v | DEAD;
#endif
            ok = true;
            break
       }
#ifdef MARK_ONCE
    :: atomic { word != v -> ok = false; break }
#else
    :: atomic {
            word != v ->
            if
            :: OWNER(word) == OWNER(v) && !(word & DEAD) -> v = word /* a waiter has set W meanwhile */
            :: else -> ok = false; break
            fi
       }
#endif
    od;
    if
    :: ok -> d_step { all_wake(false) }
    :: else
    fi
}

proctype worker(byte p; byte e) provided (up[p] == UP)
{
    byte me, v, s, seen, i, turns, early;
    bool slept, ok;

    early = EARLY;
    if
    :: e != 0
    :: else -> /* entry_take in membership.h: the right to the entry, its byte, its state */
#define TAKE(x) atomic { KIND(state[x]) == FREE && !HELD(RIGHT[x]) -> RIGHT[x] = p + 1; e = x }
        if
        :: TAKE(1)
        :: TAKE(2)
#if WORKERS > 2
        :: TAKE(3)
#endif
        fi;
        lock_byte[e] = p + 1;
        ref[e] = true;
        atomic { assert(KIND(state[e]) == FREE); state[e] = STATE(LIVE, GEN(state[e]), p) };
#ifndef ONE_BYTE
        right_byte[e] = 0
#endif
    fi;
    me = ID(e, GEN(state[e]));

again: /* lock_try is a special case of lock_enter below */
    atomic { slept = false; seen = 0; turns++ };

wait: /* lock_wait in lock.h: lock_enter, then W, then sleep */
    atomic {
        v = word;
        if
        :: v == 0
        :: v & DEAD -> goto died
        :: (v & (DEAD | W)) == W -> goto sleep
        :: v != 0 && !(v & (DEAD | W)) -> goto announce
        fi
    };
    atomic {
        if
#ifdef FORGET_W
        :: word == 0 -> word = me;
#else
        :: word == 0 -> word = me | (slept -> W : 0);
#endif
            assert(NOBODY_HOLDS); holder = p + 1; goto inside
        :: else -> goto wait
        fi
    };
announce:
    atomic {
        if
        :: word == v -> word = v | W; v = v | W
        :: else -> goto wait
        fi
    };
sleep: /* W is set: whoever gives up from here on owes nobody a wake-up */
    atomic {
        if
        :: word == v -> asleep[p] = true
        :: p < HASTY -> goto finish
        :: word != v -> goto wait
        fi
    };
    if
#ifdef LEAVE_WOKEN
    :: atomic { !asleep[p] && !expired[p] && p < HASTY -> goto finish }
#endif
    :: atomic { !asleep[p] && !expired[p] -> slept = true; goto wait }
    :: atomic { asleep[p] && p < HASTY -> asleep[p] = false; goto finish } /* ETIMEDOUT, EINTR: it was not woken */
#ifdef BACKSTOP
#ifdef ANYTIME
    :: atomic { asleep[p] -> asleep[p] = false }
#else
    :: atomic { asleep[p] && early > 0 -> asleep[p] = false; early-- }
#endif
    :: atomic { expired[p] -> expired[p] = false }
#endif
    fi;
    atomic { /* lock_suspect in lock.h */
        slept = true;
        v = word;
        if
        :: v == 0 || (v & DEAD) || OWNER(v) != seen -> seen = OWNER(v); goto wait
        :: else
        fi
    };
    atomic { /* participant_died in participant.h */
        s = state[INDEX(v)];
        if
        :: KIND(s) != LIVE || GEN(s) != GENERATION(v) -> goto wait
        :: else
        fi
    };
    atomic {
        if
        :: !HELD(lock_byte[INDEX(v)]) && up[PID(s)] == GONE
        :: else -> goto wait
        fi
    };
#ifndef NO_SECOND_LOOK
    atomic { /* it may have left between the load and the proof; now that it is dead, its state is final */
        if
        :: state[INDEX(v)] == s
        :: else -> goto wait
        fi
    };
#endif
    lock_abandon();
    goto wait;

died: /* the caller has got LockOwnerDied. It gives up, or calls lock_recover in lock.h */
    if
    :: goto finish
#ifdef RELEASE_AFTER_DEATH
    :: atomic { word = 0; assert(KILLED_HOLDER); holder = 0; goto finish }
#endif
    :: atomic {
            v = word;
            if
            :: v & DEAD
            :: else -> turns--; goto again
            fi
       }
    fi;
    atomic {
#ifdef STORE_RECOVER
        word = me | W; assert(KILLED_HOLDER); holder = p + 1
#else
        if
        :: word == v -> word = me | W; assert(KILLED_HOLDER); holder = p + 1
        :: else -> turns--; goto again
        fi
#endif
    };

inside:
#ifdef NOT_PINNED
    ref[e] = false; /* the last Python object of this process goes although the lock is held */
#endif
    if
    :: skip
    :: p < LEAVERS ->
        atomic { state[e] = STATE(LEFT, GEN(state[e]), p); left[p] = true }; /* participant_leave in participant.h */
        if
        :: skip
        :: up[p] = GONE
        fi
    fi;
    atomic { v = word; word = 0; assert(I_HOLD); holder = 0 }; /* lock_release in lock.h */
    if
#ifndef NO_WAKE
    :: v & W -> futex_wake_one()
#endif
    :: else
    fi;
    if
    :: turns < TURNS -> goto again
    :: else
    fi;
finish:
    skip
}

/* reap_if_gone and reap_entry in reap.h, for a participant whose only reference is the lock. */
proctype reaper(byte p) provided (up[p] == UP)
{
    byte e, s, v, i;
    bool ok;

#define REAP(x) atomic { !HELD(RIGHT[x]) && !HELD(lock_byte[x]) && KIND(state[x]) != FREE && up[PID(state[x])] == GONE \
                         -> RIGHT[x] = p + 1; e = x; s = state[x] }
    if
    :: REAP(1)
    :: REAP(2)
#if WORKERS > 2
    :: REAP(3)
#endif
    fi;
#ifdef FREE_BEFORE_MARK
    state[e] = STATE(FREE, NEXT(GEN(s)), 0);
#endif
    if
    :: !ref[e] -> goto free
    :: ref[e]
    fi;
#ifdef DROP_BEFORE_MARK
    ref[e] = false;
#endif
    atomic { /* reap_slot in reap.h */
        v = word;
        if
        :: KIND(s) == LIVE && OWNER(v) == ID(e, GEN(s)) && !(v & DEAD)
        :: else -> goto drop
        fi
    };
    lock_abandon();
drop:
    ref[e] = false; /* slot_drop in slots.h: slots.pml */
free:
#ifndef FREE_BEFORE_MARK
    state[e] = STATE(FREE, NEXT(GEN(s)), 0);
#endif
    RIGHT[e] = 0
}

proctype killer()
{
    byte victim, kills, stops;
    do
    :: kills < KILLS ->
        atomic {
            select (victim : 0 .. PROCESSES - 1);
            if
            :: up[victim] == UP -> up[victim] = GONE
            :: else
            fi;
            kills++;
            victim = 0
        }
    :: stops < STOPS -> atomic { up[PROCESSES - 1] == UP -> up[PROCESSES - 1] = STOPPED; stops++ }
    :: break
    od
}

/* Runs only when nothing else can. Sleep is for ever only under an owner that left without releasing. */
proctype clock()
{
    byte i, rounds, sleepers;
    do
    :: timeout ->
        d_step {
            i = 0;
            sleepers = 0;
            do
            :: i < LOCKERS ->
                if
                :: asleep[i] && up[i] == UP -> sleepers++
                :: else
                fi;
                i++
            :: else -> break
            od;
            i = 0
        };
        if
        :: sleepers == 0 || (holder != 0 && left[holder - 1] && up[holder - 1] == GONE) -> break
        :: else
        fi;
#ifdef BACKSTOP
        d_step { rounds++; assert(rounds <= ROUNDS); all_wake(true) }
#else
        assert(sleepers == 0)
#endif
    od
}

init
{
    byte i;
    atomic {
        do
        :: i < PROCESSES -> up[i] = UP; i++
        :: else -> break
        od;
        i = 0;
        do
        :: i < WORKERS ->
            state[i + 1] = STATE(LIVE, 0, i);
            lock_byte[i + 1] = i + 1;
            ref[i + 1] = true;
            run worker(i, i + 1);
            i++
        :: i >= WORKERS && i < LOCKERS -> run worker(i, 0); i++
        :: i >= LOCKERS && i < PROCESSES -> run reaper(i); i++
        :: i >= PROCESSES -> break
        od;
        run clock();
        if
        :: KILLS + STOPS > 0 -> run killer()
        :: else
        fi
    }
}
