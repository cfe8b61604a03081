/* SPDX-License-Identifier: MIT */
/* A pool's tasks. Group words, result blocks, the ledger, recall and cancel, with kills at each step of a worker.
 *
 * One job of N elements, in a group and a single. WORKERS workers run them. Others kill at most KILLS of them, at any
 * step, and the parent starts each again. The parent is the pool's process, whose threads hold one mutex, so each thing
 * that it does is one step. It drains, recalls the rest of a group, cancels the element that a worker runs, and settles
 * deaths. A reaper, some other process, marks what a dead worker had, at any time.
 *
 * A block's word is its state and owner. A group word is next, end, condemned and finished, one 64-bit word in reality.
 * Every task block has a result block of the same number, which does not matter for what is checked.
 *
 * Checked: each element has one outcome in the end, and is run at most once. A death costs one element at most, and a
 * worker that the parent kills is in the element that was cancelled. Nothing of a dead worker is left when its place is
 * given to another. */

#ifndef N
#define N 3
#endif
#ifndef WORKERS
#define WORKERS 2
#endif
#ifndef KILLS
#define KILLS 0
#endif
#ifndef RECALLS
#define RECALLS 0
#endif
#ifndef CANCELS
#define CANCELS 0
#endif
#define BLOCKS (2 + RECALLS + CANCELS)
#define NONE N

mtype = { FREE, QUEUED, OWNED, PUTTING, LOST }; /* PUTTING: the word says QUEUED, but no cell names it yet */
mtype = { UP, KILLED, DEAD };
mtype = { OPEN, RESULT, DIED, CANCELLED };

typedef task { mtype state; byte owner; byte next; byte end; bool condemned; bool finished }
typedef result { mtype state; byte owner; byte count; byte cell[N] }

task t[BLOCKS];
result r[BLOCKS];
byte first[BLOCKS]; /* ghost: the first element that nobody had claimed when it was dealt */
mtype life[WORKERS];
mtype outcome[N];
byte ran[N];         /* ghost, */
byte runs[WORKERS];  /* as is this: the element that it runs or has just run */
byte left = N, kills = KILLS, recalls = RECALLS, cancels = CANCELS;

/* A worker may be killed before each step. */
#define STEP(what) \
    atomic { \
        if \
        :: life[me] == KILLED || (life[me] == UP && kills > 0) -> die() \
        :: life[me] == UP -> what \
        fi \
    }
#define die() kills = (life[me] == UP -> kills - 1 : kills); life[me] = DEAD; goto dead

#define TAKE(x) x < BLOCKS && t[x].state == QUEUED && life[me] == UP -> t[x].state = OWNED; t[x].owner = me; b = x
#define CLAIMABLE (t[b].next < t[b].end)

inline settle(i, what)
{
    assert(outcome[i] == OPEN);
    outcome[i] = what;
    left--
}

/* group_claim in group.h: i, or NONE with `over`. */
#ifdef IGNORE_CONDEMNED
#define IS_CONDEMNED false
#else
#define IS_CONDEMNED t[b].condemned
#endif
#define claim() \
    if \
    :: IS_CONDEMNED -> i = NONE; over = false \
    :: !IS_CONDEMNED && CLAIMABLE -> i = t[b].next; t[b].next++; runs[me] = i; over = false \
    :: else -> i = NONE; over = true; t[b].finished = true; runs[me] = NONE \
    fi

#define write_cell() r[b].cell[r[b].count] = i + 1
#define run_it() assert(ran[i] == 0); ran[i]++

proctype worker(byte me)
{
    byte b, i;
    bool over;
take:
    atomic { /* one CAS on the block's word: it is taken and in the ledger at once */
        if
        :: TAKE(0)
        :: TAKE(1)
#if RECALLS + CANCELS > 0
        :: TAKE(2)
#endif
#if RECALLS + CANCELS > 1
        :: TAKE(3)
#endif
        :: life[me] == KILLED || (life[me] == UP && kills > 0) -> die()
        :: left == 0 -> goto end
        fi
    }
    STEP(r[b].state == FREE -> r[b].state = OWNED; r[b].owner = me; assert(r[b].count == 0));
next:
#ifdef RUN_FIRST
    STEP(if :: CLAIMABLE && !t[b].condemned -> i = t[b].next; runs[me] = i; over = false :: else -> claim() fi);
    if :: i == NONE -> goto put :: else fi;
    STEP(run_it());
    STEP(t[b].next = i + 1);
#else
    STEP(claim());
    if :: i == NONE -> goto put :: else fi;
run_element:
    STEP(run_it());
#endif
#ifdef COUNT_FIRST
    STEP(r[b].count++);
    STEP(r[b].cell[r[b].count - 1] = i + 1);
#else
    STEP(write_cell());
#ifdef CLAIM_FIRST
    STEP(claim());
    STEP(r[b].count++);
    if :: i == NONE -> goto put :: else -> goto run_element fi;
#else
    STEP(r[b].count++);
#endif
#endif
    goto next;
put:
    if
    :: over
    :: !over -> atomic { life[me] == KILLED -> die() } /* it was condemned, and waits for its end */
    fi;
#ifdef FREE_FIRST /* is right as well */
    STEP(t[b].state = FREE);
#endif
    STEP(r[b].state = PUTTING);
    STEP(r[b].state = QUEUED);
#ifndef FREE_FIRST
    STEP(t[b].state = FREE);
#endif
    goto take;
dead:
    atomic { life[me] == UP -> b = 0; i = 0; over = false };
    goto take;
end:
    skip
}

/* reap_block in store/reap.h, with REAP_KEEP */
#define HALF_DONE(x) (r[x].state == OWNED || r[x].state == PUTTING)
inline mark_task(x, w) { if :: t[x].state == OWNED && t[x].owner == w -> t[x].state = LOST :: else fi }
inline mark_result(x, w)
{
    if
#ifdef FREE_HALF_PUT
    :: r[x].state == PUTTING && r[x].owner == w -> r[x].state = FREE; r[x].count = 0
    :: r[x].state == OWNED && r[x].owner == w -> r[x].state = LOST
#else
    :: HALF_DONE(x) && r[x].owner == w -> r[x].state = LOST
#endif
    :: else
    fi
}

/* Any other process, at any time: one block after the other. */
#define MARKABLE_TASK(x) t[x].state == OWNED && life[t[x].owner] == DEAD
#define MARKABLE_RESULT(x) HALF_DONE(x) && life[r[x].owner] == DEAD
proctype reaper()
{
    do
    :: left == 0 -> break
    :: atomic { MARKABLE_TASK(0) -> mark_task(0, t[0].owner) }
    :: atomic { MARKABLE_TASK(1) -> mark_task(1, t[1].owner) }
    :: atomic { MARKABLE_RESULT(0) -> mark_result(0, r[0].owner) }
    :: atomic { MARKABLE_RESULT(1) -> mark_result(1, r[1].owner) }
    od
}

/* The cells of a block that was put, or is lost. */
inline deliver(x)
{
    k = 0;
    do
    :: k < r[x].count ->
        assert(r[x].cell[k] != 0);
        e = r[x].cell[k] - 1;
        if :: outcome[e] == CANCELLED :: else -> settle(e, RESULT) fi;
        r[x].cell[k] = 0;
        k++
    :: else -> break
    od;
    r[x].count = 0;
    r[x].state = FREE
}

inline drain() { for (x : 0 .. BLOCKS - 1) { if :: r[x].state == QUEUED -> deliver(x) :: else fi } }
#ifdef ANY_LOST /* also what a reaper has marked of another one, so far */
#define ITS(block) true
#else
#define ITS(block) (block.owner == w)
#endif
inline deliver_lost() { for (x : 0 .. BLOCKS - 1) { if :: r[x].state == LOST && ITS(r[x]) -> deliver(x) :: else fi } }

/* Claimed elements without an outcome died with worker w. The rest is put again in the same block. */
inline settle_tasks()
{
    for (x : 0 .. BLOCKS - 1) {
        if
        :: t[x].state == LOST && ITS(t[x]) ->
            for (e : first[x] .. N - 1) {
                if :: e < t[x].next && outcome[e] == OPEN -> settle(e, DIED); lost++ :: else fi
            }
            first[x] = t[x].next;
            t[x].condemned = false;
            t[x].finished = false;
            t[x].state = (t[x].next < t[x].end -> QUEUED : FREE)
        :: else
        fi
    }
}

#define DEAL(x, a, z) t[x].next = a; t[x].end = z; first[x] = a; t[x].condemned = false; t[x].finished = false; t[x].state = QUEUED
#define HAS_REST(x) (t[x].state == OWNED && t[x].next < t[x].end && !t[x].condemned && !t[x].finished)
#define RUNNING(x) (t[x].state == OWNED && t[x].next > first[x] && !t[x].condemned && !t[x].finished && outcome[t[x].next - 1] == OPEN)

inline kill(w, x)
{
    if
    :: life[w] == UP -> assert(runs[w] == x); life[w] = KILLED
    :: else
    fi
}

#ifdef LATE_SIGNAL
byte signals, doomed, victim;
proctype signaller()
{
    do
    :: left == 0 -> break
    :: atomic { signals > 0 -> signals--; kill(doomed, victim) }
    od
}
#endif

proctype parent()
{
    byte x, k, e, w, a, z, lost;
    do
    :: left == 0 -> break
    :: atomic { r[0].state == QUEUED -> drain() }
    :: atomic { r[1].state == QUEUED -> drain() }
    :: atomic { /* settles a death */
        life[0] == DEAD || life[WORKERS - 1] == DEAD ->
        w = (life[0] == DEAD -> 0 : WORKERS - 1);
        lost = 0;
#ifndef NO_MARK
        for (x : 0 .. BLOCKS - 1) { mark_task(x, w); mark_result(x, w) }
#endif
#ifdef TASKS_FIRST
        settle_tasks(); drain(); deliver_lost();
#else
        drain(); deliver_lost(); settle_tasks();
#endif
        assert(lost <= 1);
        for (x : 0 .. BLOCKS - 1) {
            assert(t[x].state != OWNED || t[x].owner != w);
            assert(!HALF_DONE(x) || r[x].owner != w)
        }
        runs[w] = NONE;
        life[w] = UP
       }
#if RECALLS > 0
#ifdef RECALL_STORE /* by a load and a store */
    :: atomic { recalls > 0 && HAS_REST(0) -> recalls--; a = t[0].next; z = t[0].end };
       atomic { t[0].next = a; t[0].end = a; DEAL(2, a, z) }
#else
    :: atomic { recalls > 0 && HAS_REST(0) -> recalls--; a = t[0].next; z = t[0].end; t[0].end = a; DEAL(2, a, z) }
#endif
    :: atomic { r[2].state == QUEUED -> drain() }
#endif
#if CANCELS > 0
#ifdef KILL_FIRST /* looks, and then kills, without a CAS */
    :: atomic { cancels > 0 && RUNNING(0) -> cancels--; e = t[0].next - 1; w = t[0].owner };
       atomic { if :: outcome[e] == OPEN -> settle(e, CANCELLED) :: else fi; kill(w, e) }
#else
    :: atomic {
        cancels > 0 && RUNNING(0) ->
        cancels--;
        e = t[0].next - 1;
        w = t[0].owner;
        a = t[0].next;
        z = t[0].end;
        t[0].end = a;
        t[0].condemned = true;
        settle(e, CANCELLED);
        if :: a < z -> DEAL(BLOCKS - 1, a, z) :: else fi
       };
#ifdef LATE_SIGNAL /* outside of the mutex, when the place may be another's */
       atomic { signals++; doomed = w; victim = e }
#else
       atomic { kill(w, e) }
#endif
#endif
    :: atomic { r[BLOCKS - 1].state == QUEUED -> drain() }
#endif
    od
}

/* Nobody can go on. */
proctype watch() { timeout -> assert(left == 0) }

init
{
    byte i;
    atomic {
        for (i : 0 .. N - 1) { outcome[i] = OPEN }
        for (i : 0 .. BLOCKS - 1) { t[i].state = FREE; r[i].state = FREE }
        for (i : 0 .. WORKERS - 1) { life[i] = UP; runs[i] = NONE }
        DEAL(0, 0, N - 1);
        DEAL(1, N - 1, N);
        for (i : 0 .. WORKERS - 1) { run worker(i) }
        run parent();
        run watch();
        if :: KILLS > 0 -> run reaper() :: else fi
#ifdef LATE_SIGNAL
        run signaller()
#endif
    }
}
