/* SPDX-License-Identifier: MIT */
/* The baton of a pool's process. Each of THREADS threads waits for a job, and one of them at a time drains the results of
 * all. A thread that must wait takes the baton if it is free. Else it makes a waiter, and sleeps until that is woken, once,
 * by the thread that settles its job, or by one that lays the baton down. A hasty thread has a timeout, at any moment.
 *
 * What the pool's mutex guards is one step.
 *
 * Checked: no thread sleeps for ever while results can be had, and no waiter is woken twice. */

#ifndef THREADS
#define THREADS 3
#endif
#ifndef HASTY
#define HASTY 3 /* threads that may have a timeout */
#endif

bool arrived[THREADS], ready[THREADS]; /* the result of a thread's job is in the ring, and was delivered */
bool waiting[THREADS], woken[THREADS];
bool baton;
byte sleepers;

inline wake(i)
{
    assert(!woken[i]);
    woken[i] = true
}

#define FIRST(i) waiting[i] && !woken[i]
inline pass_on()
{
    if
    :: FIRST(0) -> wake(0)
    :: THREADS > 1 && FIRST(1 % THREADS) -> wake(1 % THREADS)
    :: THREADS > 2 && FIRST(2 % THREADS) -> wake(2 % THREADS)
    :: else
    fi
}

inline lay_down()
{
#ifdef FORGET_OTHERS
    baton = false
#else
    baton = false;
    pass_on()
#endif
}

/* Delivers one result, whichever thread it is for. */
inline deliver()
{
    if
    :: arrived[0] && !ready[0] -> j = 0
    :: THREADS > 1 && arrived[1 % THREADS] && !ready[1 % THREADS] -> j = 1
    :: THREADS > 2 && arrived[2 % THREADS] && !ready[2 % THREADS] -> j = 2
    fi;
    ready[j] = true;
#ifdef IGNORE_WOKEN
    if :: waiting[j] -> wake(j) :: else fi
#else
    if :: FIRST(j) -> wake(j) :: else fi
#endif
}

#define SOMETHING \
    ((arrived[0] && !ready[0]) || (arrived[1 % THREADS] && !ready[1 % THREADS]) || (arrived[2 % THREADS] && !ready[2 % THREADS]))

proctype thread(byte me)
{
    byte j;
    bool late = false;
again:
    atomic {
        if
        :: ready[me] || late -> goto end
        :: !ready[me] && !late && !baton -> baton = true; goto drain
        :: !ready[me] && !late && baton -> waiting[me] = true; woken[me] = false; sleepers++
        fi
    };
    if
    :: atomic { woken[me] -> sleepers-- }
    :: atomic { me < HASTY && !woken[me] -> late = true; sleepers-- }
    fi;
    atomic {
        waiting[me] = false;
#ifndef KEEP_BATON
        if :: late && woken[me] && !ready[me] && !baton -> pass_on() :: else fi
#endif
    };
    goto again;
drain:
    do
    :: atomic { ready[me] -> break }
    :: atomic { !ready[me] && SOMETHING -> deliver() }
    :: atomic { !ready[me] && me < HASTY -> late = true; break }
    od;
#ifdef PASS_FIRST
    atomic { pass_on() };
    atomic { baton = false };
#else
    atomic { lay_down() };
#endif
    goto again;
end:
    skip
}

/* Results come in any order. */
proctype worker(byte i) { arrived[i] = true }

/* Nobody can go on. */
proctype watch() { timeout -> assert(sleepers == 0) }

init
{
    byte i;
    atomic {
        for (i : 0 .. THREADS - 1) {
            run worker(i);
            run thread(i)
        };
        run watch()
    }
}
