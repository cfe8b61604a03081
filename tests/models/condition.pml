/* SPDX-License-Identifier: MIT */
/* The tickets of Condition, under a lock whose holder may be killed, with waiters whose entries are reaped and reused.
 *
 * Waiters want one item each and wait while there is none. Notifiers put BATCH items and notify(BATCH). The lock itself
 * is one atomic step here, because lock.pml checks it. Killing, sleeping and the clock are as in lock.pml.
 *
 * Checked at each notify: it counts only tickets whose owner was alive when asked and waits with that very ticket. It
 * skips no other, and stops after n of them, in the order of the tickets. Checked when nothing can move: no waiter
 * sleeps if its ticket was notified, and none sleeps while there are items, except for items that were lost with a
 * process killed after its notify, or before it.
 *
 * Ghosts: mine, taker, counted, excused, owed. */

#ifndef WAITERS
#define WAITERS 2
#endif
#ifndef NOTIFIERS
#define NOTIFIERS 1
#endif
#ifndef PUTS
#define PUTS 2      /* by each notifier */
#endif
#ifndef BATCH
#define BATCH 1     /* items per put, and the n of its notify */
#endif
#ifndef REAPERS
#define REAPERS 0
#endif
#ifndef NEWCOMERS
#define NEWCOMERS 0 /* processes that take the entry of a reaped waiter, and live */
#endif
#ifndef KILLS
#define KILLS 0
#endif
#ifndef EARLY
#define EARLY 0     /* how often each waiter may wake by itself */
#endif
#ifndef TIMED
#define TIMED 0     /* waiters below this may time out at any moment */
#endif
#ifndef RAISING
#define RAISING 0   /* waiters below this may be interrupted by an exception at any moment */
#endif
#ifndef RING
#define RING 4
#endif
#ifndef BITS
#define BITS 14     /* of a futex mask: ticket t sleeps on bit t % BITS */
#endif
#define TICKETS 14
#define EVERYBODY 100
#define LOCKERS (WAITERS + NOTIFIERS)
#define PROCESSES (LOCKERS + REAPERS + NEWCOMERS)
#define ROUNDS (KILLS + 2)

#define GONE 0
#define UP 1

/* Entry p + 1 is process p's at first. A cell of the ring names an entry, 0: nobody. */
#define FREE 0
#define LIVE 1
#define STATE(k, g, p) ((k) | (g) << 2 | (p) << 4)
#define KIND(s) ((s) & 3)
#define GEN(s) ((s) >> 2 & 3)
#ifdef ONE_BYTE
#define RIGHT lock_byte
#else
#define RIGHT right_byte
#endif

byte lock;                    /* process + 1 */
byte deaths;                  /* of holders, counted by those who recovered the lock */
int wake_bits;                /* left with the lock: whom its release wakes */
int sleepers;                 /* the bits of those who may sleep */
byte notified, tail;
byte settled;                 /* the value of `deaths` at which the tickets were last settled */
byte unknown_from, unknown_to;
byte ring[RING];
bool cancelled[RING];
byte asleep[WAITERS];         /* ticket + 1 */
byte state[LOCKERS + 1];
byte lock_byte[LOCKERS + 1];
byte right_byte[LOCKERS + 1];
byte up[PROCESSES];
byte items;

byte mine[LOCKERS];           /* ghost: the ticket + 1 with which a process waits, or which it has not yet acted upon */
byte taker[TICKETS];          /* ghost: process + 1 */
int counted;                  /* ghost: the tickets on which a notify was spent */
byte owed[LOCKERS];           /* ghost: items put, not yet notified of */
byte excused;                 /* ghost: items whose notify was lost with a killed process */

#define HELD(byte) (byte != 0 && up[byte - 1] != GONE)
#define ABANDONED (lock != 0 && up[lock - 1] == GONE)
#define UNKNOWN(t) (((t) - unknown_from & 255) < (unknown_to - unknown_from & 255))
#define SKIPPED 1 /* what a notifier makes of a ticket */
#define WOKEN 2
#define ASKED 3
#define COUNTED 4
#define BIT(t) (1 << (t) % BITS) /* in futex masks */
#define ONLY(t) (1 << (t))       /* in ghosts */
#ifdef TELL_SLEEPERS /* a backstop expires: was the holder of the lock killed? Then wait() raises, as acquire() does */
#define TOLD ABANDONED
#else
#define TOLD false
#endif
#define WAITS_WITH(t) (mine[taker[t] - 1] == (t) + 1)

inline futex_wake(bits)
{
    d_step {
        i = 0;
        do
        :: i < WAITERS ->
            if
            :: asleep[i] != 0 && up[i] == UP && (bits & BIT(asleep[i] - 1)) -> asleep[i] = 0
            :: else
            fi;
            i++
        :: else -> break
        od;
        i = 0
    }
}

/* Mutex.acquire; died: LockOwnerDied. */
inline lock_enter()
{
    if
    :: atomic { lock == 0 -> lock = p + 1 }
#ifdef RELEASE
    :: atomic { ABANDONED -> lock = p + 1 }
#else
    :: atomic { ABANDONED -> mine[p] = 0; goto died }
#endif
    fi
}

/* lock_release in lock.h: the wake-ups that a notify left come last. */
inline lock_release()
{
    atomic { assert(lock == p + 1); bits = wake_bits; wake_bits = 0 };
    lock = 0;
    if
    :: bits != 0 -> futex_wake(bits)
    :: else
    fi;
    bits = 0
}

/* Whoever saw the lock abandoned has left its ticket behind. So after each recovery of the lock, by whatever call, all
 * tickets are notified before the first is taken or counted. */
inline settle()
{
#ifndef NO_SETTLING
    if
    :: settled != deaths ->
        notified = tail;
        wake_bits = -1;
        settled = deaths
    :: else
    fi
#else
    skip
#endif
}

/* condition_notify in condition.h, with ticket_waits, and what the lock's release wakes. */
inline condition_notify(count)
{
    settle();
    atomic { k = notified; rest = count; shared = (tail - notified > BITS) };
    do
    :: rest > 0 && k != tail ->
        atomic { /* ticket_waits in condition.h */
            cell = ring[k % RING];
            s = state[cell];
            if
            :: UNKNOWN(k) -> verdict = WOKEN
            :: !UNKNOWN(k) && (cell == 0 || cancelled[k % RING] || KIND(s) == FREE) -> verdict = SKIPPED
            :: else -> verdict = ASKED
            fi
        };
        if
        :: verdict == ASKED ->
            atomic {
                was_up = (up[taker[k] - 1] == UP);
                verdict = (HELD(lock_byte[cell]) -> COUNTED : SKIPPED)
            };
#ifndef NO_SECOND_LOOK
            atomic { /* a reaper or a newcomer may have come between the load and the question */
                if
                :: state[cell] != s || ring[k % RING] != cell -> verdict = SKIPPED
                :: else
                fi
            }
#endif
        :: else
        fi;
        atomic {
            if
            :: verdict == COUNTED ->
                assert(count == EVERYBODY || (was_up && (up[taker[k] - 1] == GONE || WAITS_WITH(k))));
                bits = bits | BIT(k);
                spent = spent | (count == EVERYBODY -> 0 : ONLY(k));
                rest--
            :: verdict == SKIPPED -> assert(up[taker[k] - 1] == GONE || !WAITS_WITH(k))
            :: verdict == WOKEN -> bits = bits | BIT(k)
            fi;
            k++; was_up = false; cell = 0; s = 0; verdict = 0
        }
    :: else -> break
    od;
#ifdef WAKE_FIRST
    futex_wake(bits);
    bits = 0;
#endif
#ifdef SLEEPERS_FIRST
    bits = bits & sleepers;
#endif
    atomic {
        notified = k;
        counted = counted | spent;
        owed[p] = 0;
        k = 0;
        do
        :: k < TICKETS && (spent & ONLY(k)) && up[taker[k] - 1] == GONE -> excused++; k++
        :: k < TICKETS && !((spent & ONLY(k)) && up[taker[k] - 1] == GONE) -> k++
        :: k == TICKETS -> break
        od;
        k = 0; spent = 0
    };
#ifndef SLEEPERS_FIRST
    bits = bits & sleepers;
#endif
    if
#ifdef CLEAR_SHARED
    :: true -> sleepers = sleepers & ~bits
#else
    :: !shared -> sleepers = sleepers & ~bits
    :: shared /* a bit may also be that of somebody who is not woken for good */
#endif
    fi;
    atomic { wake_bits = wake_bits | bits; bits = 0; rest = 0; shared = false } /* lock_leave_wakes in lock.h */
}

/* condition_take in condition.h. */
inline condition_take()
{
    settle();
    atomic { t = tail; assert(t < TICKETS) };
#ifdef COMMIT_FIRST
    atomic { tail = t + 1; taker[t] = p + 1; mine[p] = t + 1 };
#endif
    if
    :: t - notified < RING ->
        ring[t % RING] = p + 1;
        cancelled[t % RING] = false
    :: else ->
        if
        :: notified >= unknown_to -> unknown_from = t
        :: else
        fi;
        unknown_to = t + 1
    fi;
#ifndef COMMIT_FIRST
    atomic { tail = t + 1; taker[t] = p + 1; mine[p] = t + 1 }
#endif
}

/* Lock.recover or Condition.recover after LockOwnerDied. */
inline recover()
{
    atomic {
        if
        :: ABANDONED -> lock = p + 1
        :: else -> goto enter
        fi
    };
    deaths++;
#ifndef PLAIN_RECOVER
    condition_notify(EVERYBODY)
#endif
}

proctype waiter(byte p) provided (up[p] == UP)
{
    byte t, i, k, s, cell, rest, verdict, early;
    int bits, spent;
    bool was_up, shared, raised;

    early = EARLY;
enter:
    lock_enter();
look:
    atomic {
        if
        :: items > 0 -> items--; mine[p] = 0; goto leave
        :: else -> mine[p] = 0
        fi
    };
    condition_take();
    lock_release();
sleep: /* condition_sleep in condition.h; from here on Condition.wait in conditions.pyx */
    atomic {
        k = notified;
        if
        :: k > t || TOLD -> k = 0; goto back
        :: else
        fi
    };
    sleepers = sleepers | BIT(t);
    atomic {
        if
        :: notified == k -> k = 0; asleep[p] = t + 1
        :: else -> k = 0; goto sleep
        fi
    };
    if
    :: asleep[p] == 0 -> goto sleep
    :: atomic { asleep[p] != 0 && early > 0 -> asleep[p] = 0; early--; goto sleep }
    :: atomic { asleep[p] != 0 && p < TIMED -> asleep[p] = 0 }
    :: atomic { asleep[p] != 0 && p < RAISING -> asleep[p] = 0; raised = true }
    fi;
back:
    if
#ifdef UNSHIELDED
    :: atomic { lock != 0 && p < RAISING -> mine[p] = 0; goto finish } /* interrupted once more */
#endif
    :: lock_enter()
    fi;
    if
    :: notified > t && !raised -> goto look
    :: notified > t && raised -> goto baton
    :: notified <= t
    fi;
#ifndef NO_CANCEL
    if /* condition_cancel in condition.h */
    :: !UNKNOWN(t) -> cancelled[t % RING] = true
    :: else
    fi;
#endif
    atomic { mine[p] = 0; goto leave };
baton:
#ifndef NO_BATON
    condition_notify(1);
#endif
    mine[p] = 0;
leave:
    lock_release();
    goto finish;
died:
    if
    :: goto finish
    :: recover(); goto look
    fi;
finish:
    atomic { t = 0; raised = false; early = 0 }
}

proctype notifier(byte p) provided (up[p] == UP)
{
    byte i, k, s, cell, rest, verdict, puts;
    int bits, spent;
    bool was_up, shared;

enter:
    lock_enter();
put:
    atomic { items = items + BATCH; owed[p] = BATCH };
    condition_notify(BATCH);
    lock_release();
    puts++;
    if
    :: puts < PUTS -> goto enter
    :: else -> goto finish
    fi;
died:
    recover();
    goto put;
finish:
    skip
}

/* reap_entry in reap.h for the entry of a waiter or notifier. */
proctype reaper(byte p) provided (up[p] == UP)
{
    byte e, i;

#define REAP(x) atomic { !HELD(RIGHT[x]) && !HELD(lock_byte[x]) && KIND(state[x]) == LIVE && up[x - 1] == GONE \
                         -> RIGHT[x] = p + 1; e = x }
    if
    :: REAP(1)
    :: REAP(2)
    :: REAP(3)
#if LOCKERS > 3
    :: REAP(4)
#endif
    fi;
#ifndef NO_BLANKING
    do /* condition_reap in condition.h */
    :: i < RING ->
        atomic {
            if
            :: ring[i] == e -> ring[i] = 0
            :: else
            fi;
            i++
        }
    :: else -> break
    od;
#endif
    state[e] = STATE(FREE, GEN(state[e]) + 1, 0);
    RIGHT[e] = 0
}

/* entry_take in membership.h. The newcomer waits for nothing here. */
proctype newcomer(byte p) provided (up[p] == UP)
{
    byte e;

#define TAKE(x) atomic { KIND(state[x]) == FREE && !HELD(RIGHT[x]) -> RIGHT[x] = p + 1; e = x }
    if
    :: TAKE(1)
    :: TAKE(2)
    :: TAKE(3)
#if LOCKERS > 3
    :: TAKE(4)
#endif
    fi;
    lock_byte[e] = p + 1;
    state[e] = STATE(LIVE, GEN(state[e]), p);
#ifndef ONE_BYTE
    right_byte[e] = 0
#endif
}

proctype killer()
{
    byte victim, kills;
    do
    :: kills < KILLS ->
        atomic {
            select (victim : 0 .. LOCKERS + REAPERS - 1);
            if
            :: victim < LOCKERS && up[victim] == UP ->
                up[victim] = GONE;
                excused = excused + owed[victim];
                if
                :: mine[victim] != 0 && (counted & ONLY(mine[victim] - 1)) -> excused++
                :: else
                fi
            :: victim >= LOCKERS -> up[victim] = GONE
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
    byte i, rounds, missed, sleeping;
    do
    :: timeout ->
        d_step {
            i = 0; missed = 0; sleeping = 0;
            do
            :: i < WAITERS ->
                if
                :: asleep[i] != 0 && up[i] == UP ->
                    sleeping++;
                    if
                    :: asleep[i] <= notified || TOLD -> missed++
                    :: else
                    fi
                :: else
                fi;
                i++
            :: else -> break
            od;
            i = 0
        };
        if
        :: missed == 0 -> break
        :: else
        fi;
#ifndef BACKSTOP
        assert(missed == 0);
#endif
        d_step {
            rounds++;
            assert(rounds <= ROUNDS);
            do
            :: i < WAITERS -> asleep[i] = 0; i++
            :: else -> break
            od;
            i = 0
        }
    od;
#ifndef PLAIN_RECOVER
    assert(sleeping == 0 || items <= excused || (ABANDONED && !TOLD))
#endif
}

init
{
    byte i;
    atomic {
        do
        :: i < PROCESSES ->
            up[i] = UP;
            if
            :: i < LOCKERS -> state[i + 1] = STATE(LIVE, 0, i); lock_byte[i + 1] = i + 1
            :: else
            fi;
            if
            :: i < WAITERS -> run waiter(i)
            :: i >= WAITERS && i < LOCKERS -> run notifier(i)
            :: i >= LOCKERS && i < LOCKERS + REAPERS -> run reaper(i)
            :: i >= LOCKERS + REAPERS -> run newcomer(i)
            fi;
            i++
        :: else -> break
        od;
        run clock();
        if
        :: KILLS > 0 -> run killer()
        :: else
        fi
    }
}
