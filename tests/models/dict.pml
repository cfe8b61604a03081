/* SPDX-License-Identifier: MIT */
/* A Dict of two keys: two writers, one of which may be killed, a reader without the lock, rows of two parities, and blocks
 * that are used again.
 *
 * Each writer makes CHANGES changes of its choice: it stores a new value, deletes a key, or clears. The reader gets a key.
 * A killed writer leaves the lock to the next one, which mends. At last a writer that nobody kills makes a change.
 *
 * Checked: the reader finds a value, whole, that its key had between begin and end of the call. No block is freed while
 * the Dict names it. At the end each block is free or named, and the Dict is what was committed.
 *
 * Values are numbered, and so a ref is never the same twice. The index is left out: a search looks at all entries. A
 * reader that had to begin anew TRIES times gives up. Killing is as in lock.pml. */

#ifndef CHANGES
#define CHANGES 2
#endif
#ifndef KILLS
#define KILLS 0
#endif
#ifndef TRIES
#define TRIES 2
#endif
#define WRITERS 2
#define LAST 2    /* the writer that comes at last */
#define ENTRIES 3 /* of the rows of a parity */
#define BLOCKS 4
#define NOTE 3 /* as a key */

#define AT(parity, i) ((parity) * ENTRIES + (i))
#ifdef NO_TAG
#define REF(value, block) (1 + (block))
#define BLOCK(ref) ((ref) - 1)
#else
#define REF(value, block) ((value) << 2 | (block))
#define BLOCK(ref) ((ref) & 3)
#endif
#ifdef SAME_PARITY
#define NEXT(r) ((r) + 2)
#else
#define NEXT(r) ((r) + 1)
#endif

byte root = 2;
byte used[2];
byte key[6], ref[6], dead[6];
byte first[BLOCKS], second[BLOCKS]; /* the two words of a payload */
bool taken[BLOCKS];
byte owner;    /* of the lock, + 1 */
bool changing;
byte values = 1; /* the next one to be stored */
bool over[2];    /* the writer has ended */
bool up[3] = true;
byte kills;

/* Ghosts: what is committed, and what the reader's key was since its call began. */
byte now[2];
byte wanted = 2; /* the reader's key, 2 while it does not read */
int seen;

inline committed(k, v)
{
    now[k] = v;
    if
    :: wanted == k -> seen = seen | (1 << v)
    :: else
    fi
}

#define ALIVE(p, i, u) (key[AT(p, i)] < NOTE && (dead[AT(p, i)] == 0 || dead[AT(p, i)] > u))
#define NAMES(p, i, b) (i < used[p] && ALIVE(p, i, used[p]) && ref[AT(p, i)] != 0 && BLOCK(ref[AT(p, i)]) == b)
#define NAMED(b) (NAMES((root & 1), 0, b) || NAMES((root & 1), 1, b) || NAMES((root & 1), 2, b))

inline give(b)
{
    atomic {
        assert(!NAMED(b));
        taken[b] = false;
        first[b] = 0
    }
}

/* Afterwards `n` entries are in the rows of the other parity, which are not today's yet. */
inline copy_rows(keep)
{
    q = NEXT(root) & 1;
    i = 0;
    n = 0;
    do
    :: atomic {
           keep && i < used[root & 1] ->
           if
           :: ALIVE((root & 1), i, used[root & 1]) ->
               key[AT(q, n)] = key[AT((root & 1), i)];
               ref[AT(q, n)] = ref[AT((root & 1), i)];
               dead[AT(q, n)] = 0;
               n++
           :: else
           fi;
           i++
       }
    :: else -> break
    od
}

inline renew(keep)
{
    copy_rows(keep);
#ifdef ROOT_FIRST
    root = NEXT(root);
    used[q] = n;
#else
    used[q] = n;
    atomic {
        root = NEXT(root);
        if
        :: keep
        :: else -> committed(0, 0); committed(1, 0)
        fi
    }
#endif
}

/* No other process looks at what it changes. */
inline sweep()
{
    d_step {
        b = 0;
        do
        :: b < BLOCKS ->
            taken[b] = NAMED(b);
            b++
        :: else -> break
        od
    }
}

inline mend()
{
#ifndef NO_RENEW
    renew(true);
#endif
#ifndef NO_SWEEP
    sweep()
#endif
}

inline find(k)
{
    d_step {
        at = 0;
        do
        :: at < used[root & 1] && !(key[AT((root & 1), at)] == k && ALIVE((root & 1), at, used[root & 1])) -> at++
        :: else -> break
        od
    }
}

inline take()
{
    atomic {
        b = 0;
        do
        :: b < BLOCKS && taken[b] -> b++
        :: else -> break
        od;
        assert(b < BLOCKS); /* none is lost */
        taken[b] = true;
        v = values;
        values++;
        first[b] = v
    };
    second[b] = v
}

inline set(k)
{
    find(k);
    take();
    if
    :: at < used[root & 1] ->
        old = BLOCK(ref[AT((root & 1), at)]);
#ifdef FREE_FIRST
        atomic { taken[old] = false; first[old] = 0 };
#endif
        atomic { ref[AT((root & 1), at)] = REF(v, b); committed(k, v) };
        give(old)
    :: else ->
#ifdef COMMIT_FIRST
        atomic { used[root & 1]++; committed(k, v) };
        key[AT((root & 1), used[root & 1] - 1)] = k;
        ref[AT((root & 1), used[root & 1] - 1)] = REF(v, b);
        dead[AT((root & 1), used[root & 1] - 1)] = 0
#else
        key[AT((root & 1), used[root & 1])] = k;
        atomic { ref[AT((root & 1), used[root & 1])] = REF(v, b); dead[AT((root & 1), used[root & 1])] = 0 };
        atomic { used[root & 1]++; committed(k, v) }
#endif
    fi
}

inline delete(k)
{
    find(k);
    if
    :: at < used[root & 1] ->
        key[AT((root & 1), used[root & 1])] = NOTE;
        old = BLOCK(ref[AT((root & 1), at)]);
#ifdef CLEAR_FIRST
        ref[AT((root & 1), at)] = 0;
#endif
        dead[AT((root & 1), at)] = used[root & 1] + 1;
        atomic { used[root & 1]++; committed(k, 0) };
#ifndef REF_STAYS
        ref[AT((root & 1), at)] = 0;
#endif
        give(old)
    :: else
    fi
}

inline clear()
{
    renew(false);
    sweep()
}

inline enter(me)
{
    atomic { owner == 0 || !up[owner - 1] -> owner = me + 1 };
    if
#ifndef NO_MEND
    :: changing -> mend()
#endif
    :: else
    fi;
    changing = true;
    if
    :: used[root & 1] == ENTRIES -> renew(true)
    :: else
    fi
}

inline leave()
{
    changing = false;
    atomic { owner = 0; at = 0; b = 0; i = 0; n = 0; q = 0; v = 0; old = 0 }
}

proctype writer(byte me) provided (up[me])
{
    byte at, b, i, n, q, v, old, count, k;
    do
    :: count < CHANGES ->
        if
        :: k = 0
        :: k = 1
        fi;
        enter(me);
        if
        :: set(k)
        :: delete(k)
        :: clear()
        fi;
        leave();
        count++
    :: else -> break
    od;
    over[me] = true
}

proctype reader()
{
    byte r, u, i, v, a, c, tries, k;
    atomic {
        if
        :: k = 0
        :: k = 1
        fi;
        wanted = k;
        seen = 1 << now[k]
    };
again:
    if
    :: tries == TRIES -> goto end
    :: else -> tries++
    fi;
    r = root;
    atomic { u = used[r & 1]; i = 0; a = 0; c = 0; v = 0 };
    do
    :: i < u && !(key[AT((r & 1), i)] == k) -> i++
    :: i < u && key[AT((r & 1), i)] == k ->
        if
        :: ALIVE((r & 1), i, u) -> break
        :: else -> i++
        fi
    :: else -> break
    od;
    if
    :: i < u ->
        v = ref[AT((r & 1), i)];
        if
        :: v == 0 -> goto again
        :: else
        fi;
        a = first[BLOCK(v)];
        c = second[BLOCK(v)];
#ifndef NO_SECOND_LOOK
        if
        :: ref[AT((r & 1), i)] != v -> goto again
        :: else
        fi
#else
        skip
#endif
    :: else -> c = 0
    fi;
#ifndef NO_ROOT_LOOK
    if
    :: root != r -> goto again
    :: else
    fi;
#endif
    atomic {
        assert(a == c);
        assert(seen & (1 << a));
        wanted = 2
    };
end:
    skip
}

#define VALUE_OF(k) (used[root & 1] > 0 && key[AT((root & 1), 0)] == k && ALIVE((root & 1), 0, used[root & 1]) -> first[BLOCK(ref[AT((root & 1), 0)])] : \
    (used[root & 1] > 1 && key[AT((root & 1), 1)] == k && ALIVE((root & 1), 1, used[root & 1]) -> first[BLOCK(ref[AT((root & 1), 1)])] : \
    (used[root & 1] > 2 && key[AT((root & 1), 2)] == k && ALIVE((root & 1), 2, used[root & 1]) -> first[BLOCK(ref[AT((root & 1), 2)])] : 0)))

/* All the others have ended or are dead. */
proctype last()
{
    byte at, b, i, n, q, v, old;
    (over[0] || !up[0]) && over[1];
    assert(VALUE_OF(0) == now[0]);
    assert(VALUE_OF(1) == now[1]);
    enter(LAST);
    set(1);
    leave();
    atomic {
        assert(VALUE_OF(0) == now[0]);
        assert(VALUE_OF(1) == now[1]);
        b = 0;
        do
        :: b < BLOCKS -> assert(taken[b] == NAMED(b)); b++
        :: else -> break
        od
    }
}

proctype killer()
{
    do
    :: kills < KILLS ->
        atomic {
            if
            :: up[0] && !over[0] -> up[0] = false
            :: true -> goto done
            fi;
            kills++
        }
    :: else -> break
    od;
done:
    skip
}

init
{
    atomic {
        run writer(0);
        run writer(1);
        run reader();
        run last();
        run killer()
    }
}
