/* SPDX-License-Identifier: MIT */
/* Barrier: one word that holds the round, the outcomes of the last ones, BROKEN, ACTING and the count of arrivals, and
 * the table of members by which waiters learn that one of them was killed before it came again.
 *
 * Users wait TURNS times each. The first THREADS of them are threads of one process, which is killed as one. Killing,
 * sleeping and the clock are as in lock.pml. The look at the table is one step here.
 *
 * Checked: all waiters of a round learn the same outcome, which is the true one. A round completes only if PARTIES have
 * arrived in it, alive or killed since, and after its action has run once. It breaks only for a reason. No waiter
 * sleeps on when its round is decided, or never will be because the actor or a member of the last round was killed.
 *
 * Ghosts: result, arrivals, came, acted, reason, places. */

#ifndef USERS
#define USERS 2
#endif
#ifndef PARTIES
#define PARTIES 2
#endif
#ifndef THREADS
#define THREADS 1
#endif
#ifndef TURNS
#define TURNS 2
#endif
#ifndef ACTION
#define ACTION 0   /* 1: the last arrival of a round runs an action, which may raise if RAISES */
#endif
#ifndef RAISES
#define RAISES 0
#endif
#ifndef TIMED
#define TIMED 0    /* users below this may time out at any moment */
#endif
#ifndef SIGNALS
#define SIGNALS 0  /* users below this may be interrupted at any moment */
#endif
#ifndef RESETS
#define RESETS 0
#endif
#ifndef REAPERS
#define REAPERS 0
#endif
#ifndef KILLS
#define KILLS 0
#endif
#ifndef EARLY
#define EARLY 0
#endif
#define PROCESSES (USERS - THREADS + 1)
#define HOME(u) ((u) < THREADS -> 0 : (u) - THREADS + 1)
#define ROUNDS 8
#define EXPIRIES (KILLS + 3)

/* The word. The futex is all but the count, which names the actor while ACTING. */
#define COUNT(w) ((w) & 7)
#define ACTING 8
#define BROKEN 16
#define OUTCOMES(w) ((w) >> 5 & 15) /* barrier.h has eight of them: here none is ever missed */
#define ROUND(w) ((w) >> 9)
#define FUTEX(w) ((w) >> 3)
#define NEXT(w, bad) ((ROUND(w) + 1) << 9 | (OUTCOMES(w) << 1 & 15 | (bad)) << 5)

/* A cell of the table: process + 1, the parity of round / 2 - so that what was left two rounds ago shows -, KILLED. */
#define CELL(p, r) ((p) + 1 | ((r) & 2) << 3)
#define KILLED 64
#define WHO(c) ((c) & 15)
#ifdef NO_PARITY
#define OF(c, r) ((c) != 0)
#else
#define OF(c, r) ((c) != 0 && ((c) & 16) == ((r) & 2) << 3)
#endif

#define UNDECIDED 0
#define COMPLETE 1
#define FAILED 2

short word = 15 << 5;      /* no round before the first has members to miss */
byte cells[2 * PARTIES];
byte actor;
byte asleep[USERS];       /* round + 1 */
bool expired[USERS];
bool up[PROCESSES];
bool reaped[PROCESSES];    /* its entry was given back: nobody can ask any more how it ended */

byte result[ROUNDS];
byte arrivals[ROUNDS];
byte came[ROUNDS * PROCESSES];
byte acted[ROUNDS];
bool reason[ROUNDS];       /* somebody timed out, or an action raised, or a process was killed */
byte places[ROUNDS];
bool killed;

#define DIED(p) (!up[p] && !reaped[p])
#define SLOT(r, i) (((r) & 1) * PARTIES + (i))

inline futex_wake_all()
{
    d_step {
        i = 0;
        do
        :: i < USERS ->
            if
            :: up[HOME(i)] -> asleep[i] = 0
            :: else
            fi;
            i++
        :: else -> break
        od;
        i = 0
    }
}

inline decide(r, how)
{
    assert(result[r] == UNDECIDED || (result[r] == FAILED && how == FAILED));
    assert(how == FAILED || arrivals[r] == PARTIES);
    assert(how == FAILED || acted[r] == ACTION);
    result[r] = how
}

/* barrier_break in barrier.h. */
inline barrier_break(r)
{
    do
    :: atomic {
            w = word;
            if
            :: ROUND(w) != r || (w & BROKEN) -> break
            :: else
            fi
       }
       atomic {
            if
            :: word == w ->
                word = (w | BROKEN) & ~ACTING;
                assert(reason[r] || killed);
                decide(r, FAILED);
                break
            :: else
            fi
       }
    od;
    futex_wake_all()
}

/* barrier_dead_member in barrier.h: `found` if the round waits for somebody who will not come. */
inline dead_member(r, patient)
{
    d_step {
        i = 0;
        do
        :: i < PARTIES ->
            c = cells[SLOT(r - 1 & 1, i)];
            if
#ifndef NO_GAPS
            :: (OUTCOMES(w) & 1) == 0 && !OF(c, r - 1) && patient ->
                found = true /* killed between its CAS and its cell */
#endif
            :: OF(c, r - 1) && ((c & KILLED) || DIED(WHO(c) - 1)) ->
                k = 0; missing = 0;
                do
                :: k < PARTIES ->
                    if
                    :: OF(cells[SLOT(r - 1 & 1, k)], r - 1) && WHO(cells[SLOT(r - 1 & 1, k)]) == WHO(c) -> missing++
                    :: else
                    fi;
                    if
                    :: k < COUNT(w) && OF(cells[SLOT(r & 1, k)], r) && WHO(cells[SLOT(r & 1, k)]) == WHO(c) ->
#ifdef PRESENCE
                        missing = missing - 10
#else
                        missing--
#endif
                    :: else
                    fi;
                    k++
                :: else -> break
                od;
                if
                :: missing > 0 -> found = true
                :: else
                fi
            :: else
            fi;
            i++
        :: else -> break
        od;
        i = 0; k = 0; c = 0; missing = 0
    }
}

proctype user(byte u) provided (up[HOME(u)])
{
    short w, missing;
    byte r, place, turns, early, i, k, c;
    bool joined, patient, found;

    early = EARLY;
arrive: /* barrier_arrive in barrier.h, without an action or before it */
    atomic {
        w = word;
        if
        :: w & BROKEN -> goto finish
        :: (w & (BROKEN | ACTING)) == ACTING -> r = ROUND(w); joined = false; goto decided
        :: else -> r = ROUND(w); place = COUNT(w); assert(r < ROUNDS - 1)
        fi
    };
#ifdef ACTOR_BESIDE
    if
    :: place + 1 == PARTIES && ACTION -> actor = HOME(u) + 1
    :: else
    fi;
#endif
    atomic {
        if
        :: word != w -> goto arrive
        :: else
        fi;
        arrivals[r]++;
        came[r * PROCESSES + HOME(u)]++;
        assert(SIGNALS > 0 || !(places[r] & (1 << place)));
        places[r] = places[r] | (1 << place);
        joined = true;
        if
        :: place + 1 < PARTIES -> word = w + 1
        :: place + 1 == PARTIES && !ACTION -> decide(r, COMPLETE); word = NEXT(w, 0)
#ifdef ACTOR_BESIDE
        :: place + 1 == PARTIES && ACTION -> word = w + 1 | ACTING
#else
        :: place + 1 == PARTIES && ACTION -> word = (w & ~7) | HOME(u) + 1 | ACTING
#endif
        fi
    };
#ifdef LATE_CELL
    cells[SLOT(r, place)] = CELL(HOME(u), r);
#else
    do
    :: c = cells[SLOT(r, place)];
       if /* a late writer may not blot the cell of the next round but one */
       :: ROUND(word) - r > 1 -> break
       :: else
       fi;
       atomic {
            if
            :: cells[SLOT(r, place)] == c -> cells[SLOT(r, place)] = CELL(HOME(u), r); break
            :: else
            fi
       }
    od;
    c = 0;
#endif
    if
    :: place + 1 == PARTIES && !ACTION -> futex_wake_all(); goto passed
    :: place + 1 == PARTIES && ACTION -> goto act
    :: else
    fi;

decided: /* barrier_wait in barrier.h */
    atomic {
        w = word;
        if
        :: ROUND(w) == r && (w & BROKEN) -> goto failed
        :: ROUND(w) != r ->
#ifdef NO_HISTORY
            goto passed
#else
            if
            :: ROUND(w) - r <= 4 && (OUTCOMES(w) >> (ROUND(w) - r - 1) & 1) -> goto failed
            :: else -> goto passed
            fi
#endif
        :: ROUND(w) == r && !(w & BROKEN)
        fi
    };
    atomic {
        if
#ifdef BROKEN_ELSEWHERE
        :: FUTEX(word) >> 2 == FUTEX(w) >> 2 -> asleep[u] = r + 1
        :: FUTEX(word) >> 2 != FUTEX(w) >> 2 -> goto decided
#else
        :: FUTEX(word) == FUTEX(w) -> asleep[u] = r + 1
        :: FUTEX(word) != FUTEX(w) -> goto decided
#endif
        fi
    };
    if
    :: atomic { asleep[u] == 0 && !expired[u] -> goto decided }
    :: atomic { asleep[u] == 0 && expired[u] -> expired[u] = false; patient = true }
    :: atomic { asleep[u] != 0 && early > 0 -> asleep[u] = 0; early-- }
    :: atomic {
            asleep[u] != 0 && joined && u < TIMED && !(w & ACTING) -> asleep[u] = 0; reason[r] = true; goto time_up
       }
    :: atomic { asleep[u] != 0 && joined && u < SIGNALS -> asleep[u] = 0; goto withdraw }
    fi;
    atomic { /* barrier_check_members in barrier.h */
        w = word;
        if
        :: ROUND(w) != r || (w & BROKEN) -> patient = false; goto decided
#ifdef ACTOR_BESIDE
        :: ROUND(w) == r && (w & ACTING) -> found = (actor != 0 && DIED(actor - 1))
#else
        :: ROUND(w) == r && (w & ACTING) -> found = DIED(COUNT(w) - 1)
#endif
        :: ROUND(w) == r && !(w & (ACTING | BROKEN)) -> dead_member(r, patient)
        fi;
        patient = false
    };
    if
    :: found -> found = false; barrier_break(r)
    :: else
    fi;
    goto decided;

withdraw: /* barrier_withdraw in barrier.h */
    do
    :: atomic {
            w = word;
            if
            :: ROUND(w) != r || (w & (BROKEN | ACTING)) || COUNT(w) == 0 -> goto finish
            :: else
            fi
       }
       atomic {
            if
            :: word == w -> word = w - 1; arrivals[r]--; came[r * PROCESSES + HOME(u)]--; goto finish
            :: else
            fi
       }
    od;

time_up:
    barrier_break(r);
    goto decided;

act:
    atomic { assert(acted[r] == 0); acted[r]++ };
    if
    :: RAISES -> reason[r] = true; barrier_break(r); goto finish
    :: skip
    fi;
    do /* barrier_complete in barrier.h */
    :: atomic {
            w = word;
            if
            :: ROUND(w) != r || (w & BROKEN) || !(w & ACTING) -> goto failed
            :: else
            fi
       }
       atomic {
            if
            :: word == w -> decide(r, COMPLETE); word = NEXT(w, 0); break
            :: else
            fi
       }
    od;
    futex_wake_all();

passed:
    atomic {
        assert(!joined || result[r] == COMPLETE);
        if
        :: !joined -> goto arrive
        :: else -> joined = false; turns++
        fi
    };
    if
    :: turns < TURNS -> goto arrive
    :: else -> goto finish
    fi;
failed:
    atomic {
        assert(!joined || result[r] == FAILED);
        if
        :: !joined -> goto arrive
        :: else
        fi
    };
finish:
    atomic { r = 0; place = 0; w = 0; turns = 0; early = 0; joined = false; patient = false }
}

/* barrier_reset in barrier.h. */
proctype resetter()
{
    byte i, resets;
    short w;

    do
    :: resets < RESETS ->
        d_step {
            i = 0;
            do
            :: i < 2 * PARTIES -> cells[i] = 0; i++
            :: else -> break
            od;
            i = 0
        };
        do
        :: w = word;
           atomic {
                if
                :: word == w ->
                    if
                    :: arrivals[ROUND(w)] > 0 -> decide(ROUND(w), FAILED)
                    :: else
                    fi;
                    word = NEXT(w, 1);
                    break
                :: else
                fi
           }
        od;
        futex_wake_all();
        resets++
    :: break
    od
}

/* barrier_reap in barrier.h, before the entry is given back. */
proctype reaper()
{
    byte q, i;
    short w;

    if
    :: atomic { !up[0] && !reaped[0] -> q = 0 }
    :: atomic { !up[1] && !reaped[1] -> q = 1 }
#if USERS - THREADS > 1
    :: atomic { !up[2] && !reaped[2] -> q = 2 }
#endif
    fi;
#ifndef NO_TOMBSTONES
    do
    :: i < 2 * PARTIES ->
        atomic {
            if
            :: WHO(cells[i]) == q + 1 -> cells[i] = cells[i] | KILLED
            :: else
            fi;
            i++
        }
    :: else -> i = 0; break
    od;
#endif
#if !defined(NO_ACTOR_REAPING) && !defined(ACTOR_BESIDE)
    w = word;
    if
    :: (w & ACTING) && COUNT(w) == q + 1 -> i = ROUND(w); barrier_break(ROUND(w)); i = 0
    :: else
    fi;
#endif
    reaped[q] = true
}

proctype killer()
{
    byte victim, kills;
    do
    :: kills < KILLS ->
        atomic {
            select (victim : 0 .. PROCESSES - 1);
            up[victim] = false;
            killed = true;
            kills++;
            victim = 0
        }
    :: break
    od
}

/* A member: it has come in the last round, oftener than in this one. */
#define MISSED(q) (!up[q] && ROUND(word) > 0 && result[ROUND(word) - 1] == COMPLETE && \
                   came[(ROUND(word) - 1) * PROCESSES + q] > came[ROUND(word) * PROCESSES + q])

proctype clock()
{
    byte i, expiries, sleepers;
    bool decided;
    do
    :: timeout ->
        d_step {
            decided = (word & ACTING) || MISSED(0) || MISSED(1); /* nobody moves: the actor is dead */
#if USERS - THREADS > 1
            decided = decided || MISSED(2);
#endif
            sleepers = 0; i = 0;
            do
            :: i < USERS ->
                if
                :: asleep[i] != 0 && up[HOME(i)] -> sleepers++; decided = decided || result[asleep[i] - 1] != UNDECIDED
                :: else
                fi;
                i++
            :: else -> break
            od
        };
        if
        :: sleepers == 0 || (!decided && expiries > 0) -> break
        :: else
        fi;
#ifndef BACKSTOP
        assert(!decided);
#endif
        d_step {
            expiries++;
            assert(expiries <= EXPIRIES);
            i = 0;
            do
            :: i < USERS ->
                if
                :: asleep[i] != 0 && up[HOME(i)] -> asleep[i] = 0; expired[i] = true
                :: else
                fi;
                i++
            :: else -> break
            od
        }
    od
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
        :: i < USERS -> run user(i); i++
        :: else -> break
        od;
        i = 0;
        do
        :: i < REAPERS -> run reaper(); i++
        :: else -> break
        od;
        run clock();
        if
        :: RESETS > 0 -> run resetter()
        :: else
        fi;
        if
        :: KILLS > 0 -> run killer()
        :: else
        fi
    }
}
