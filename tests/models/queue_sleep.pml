/* SPDX-License-Identifier: MIT */
/* How getters and putters of a queue sleep and wake. Two eventcounts, the baton, the backstop, shutdown.
 *
 * The queue itself is one counter here, and a put or a get that takes effect is one step, as queue.pml is about those.
 * Killing, sleeping and time are as in lock.pml. A hasty user has a timeout, or a signal handler that raises, at any
 * moment of its sleep, and leaves.
 *
 * Checked: no process sleeps on if it could go on. A getter must not sleep while there is an item, a putter while there
 * is room, and neither after the shutdown. */

#ifndef GETTERS
#define GETTERS 2
#endif
#ifndef PUTTERS
#define PUTTERS 2
#endif
#ifndef GETS
#define GETS 1     /* how often each getter wants an item */
#endif
#ifndef PUTS
#define PUTS 1     /* how many calls of put each putter makes */
#endif
#ifndef BATCH
#define BATCH 1    /* how many items one such call puts */
#endif
#ifndef MAXSIZE
#define MAXSIZE 15
#endif
#ifndef HASTY
#define HASTY 0    /* getters below this, and as many putters */
#endif
#ifndef SHUTDOWNS
#define SHUTDOWNS 0
#endif
#ifndef KILLS
#define KILLS 0
#endif
#ifndef EARLY
#define EARLY 0
#endif
#define ROUNDS (2 * KILLS + 1)
#define USERS (GETTERS + PUTTERS)
#define ITEMS 0
#define SPACE 1

/* The word of an eventcount: sleepers are to be woken; how often it was advanced. */
#define W 1
#define STEP 2

byte word[2];
byte size;
bool closed;
byte asleep[USERS]; /* on which word, + 1 */
bool up[USERS];

#define MAY_GO(e) (closed || (e == ITEMS -> size > 0 : size < MAXSIZE))

#define WAKE_ONE(x) asleep[x] == ec + 1 && up[x] -> asleep[x] = 0; woken++

/* FUTEX_WAKE of `most`, any of the sleepers. */
inline futex_wake(most)
{
    atomic {
        woken = 0;
        do
        :: woken < most && WAKE_ONE(0)
        :: woken < most && WAKE_ONE(1)
#if GETTERS + PUTTERS > 2
        :: woken < most && WAKE_ONE(2)
#endif
#if GETTERS + PUTTERS > 3
        :: woken < most && WAKE_ONE(3)
#endif
#if GETTERS + PUTTERS > 4
        :: woken < most && WAKE_ONE(4)
#endif
        :: else -> break
        od
    }
}

/* eventcount_notify: of n sleepers at most. */
inline notify(e, n)
{
    atomic { ec = e; v = word[ec] };
    if
    :: v & W ->
        atomic { word[ec] = word[ec] + STEP; v = word[ec] };
        futex_wake(n);
        if
        :: woken < n -> /* so nobody sleeps: the next put need not look. But one may have begun to since */
            atomic {
                if
                :: word[ec] == v -> word[ec] = (v + STEP) & ~W; v = 1
                :: else -> v = 0
                fi
            };
#ifndef CLEAR_ONLY
            if
            :: v == 1 -> futex_wake(USERS)
            :: else
            fi
#endif
        :: else
        fi
    :: else
    fi;
    atomic { v = 0; woken = 0; ec = 0 }
}

/* One user: a getter sleeps on ITEMS and wakes who sleeps on SPACE, a putter the other way round. */
proctype user(byte me; byte mine; bool hasty) provided (up[me])
{
    byte v, ec, woken, turns, n, early;

    early = EARLY;
again:
    n = (mine == ITEMS -> 1 : BATCH);
try:
    atomic {
        if
        :: closed -> goto finish
        :: !closed && mine == ITEMS && size > 0 -> size--; goto won
        :: !closed && mine == SPACE && size < MAXSIZE -> size++; goto won
        :: else
        fi
    };
    v = word[mine];
#ifdef CHECK_FIRST
    atomic {
        if
        :: MAY_GO(mine) -> v = 0; goto try
        :: else
        fi
    };
#endif
    atomic {
        if
        :: word[mine] == v -> word[mine] = v | W; v = v | W
        :: else -> v = 0; goto try
        fi
    };
#ifndef CHECK_FIRST
    atomic { /* nobody who put something before W was set will wake us */
        if
        :: MAY_GO(mine) -> v = 0; goto try
        :: else
        fi
    };
#endif
    atomic { /* FUTEX_WAIT */
        if
        :: word[mine] == v -> asleep[me] = mine + 1
        :: else
        fi;
        v = 0
    };
    if
    :: atomic { !asleep[me] -> goto try }
    :: atomic { early > 0 && asleep[me] -> early--; asleep[me] = 0; goto try }
    :: atomic { hasty -> asleep[me] = 0 }
    fi;
#ifndef NO_BATON
    if
    :: MAY_GO(mine) -> notify(mine, 1)
    :: else
    fi;
#endif
    goto finish;
won:
    n--;
    if
    :: n > 0 -> goto try /* put_many wakes when it has put all, or before it sleeps */
    :: else
    fi;
#ifndef NO_NOTIFY
    notify(1 - mine, (mine == ITEMS -> 1 : BATCH));
#endif
    atomic {
        turns++;
        if
        :: turns < (mine == ITEMS -> GETS : PUTS) -> goto again
        :: else
        fi
    };
finish:
    skip
}

proctype closer()
{
    byte v, ec, woken;
    closed = true;
    do
    :: ec < 2 ->
        atomic { word[ec] = (word[ec] + STEP) & ~W };
#ifndef CLOSE_SILENTLY
        futex_wake(USERS);
#endif
        atomic { woken = 0; ec++ }
    :: else -> break
    od
}

proctype killer()
{
    byte victim, kills;
    do
    :: kills < KILLS ->
        atomic {
            select (victim : 0 .. USERS - 1);
            up[victim] = false;
            kills++;
            victim = 0
        }
    :: break
    od
}

/* Runs only when nothing else can. */
proctype clock()
{
    byte i, rounds, forgotten;
    do
    :: timeout ->
        d_step {
            forgotten = 0;
            do
            :: i < USERS ->
                if
                :: up[i] && asleep[i] && MAY_GO(asleep[i] - 1) -> forgotten++
                :: else
                fi;
                i++
            :: else -> break
            od;
            i = 0
        };
        if
        :: forgotten == 0 -> break
        :: else
        fi;
#ifdef BACKSTOP
        d_step {
            rounds++;
            assert(rounds <= ROUNDS);
            do
            :: i < USERS -> asleep[i] = 0; i++
            :: else -> break
            od;
            i = 0
        }
#else
        assert(forgotten == 0)
#endif
    od
}

init
{
    byte i;
    atomic {
        do
        :: i < USERS -> up[i] = true; i++
        :: else -> break
        od;
        i = 0;
        do
        :: i < GETTERS -> run user(i, ITEMS, i < HASTY); i++
        :: i >= GETTERS && i < USERS -> run user(i, SPACE, i - GETTERS < HASTY); i++
        :: i >= USERS -> break
        od;
        run clock();
        if
        :: KILLS > 0 -> run killer()
        :: else
        fi;
        if
        :: SHUTDOWNS > 0 -> run closer()
        :: else
        fi
    }
}
