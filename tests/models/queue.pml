/* SPDX-License-Identifier: MIT */
/* Tickets, pages, blocks. Put, get, the installation of pages, and the recovery of what killed processes had.
 *
 * Producers put items, consumers try TURNS times to get one. A page has SLOTS tickets. The directory has room for DIRS
 * pages, SEGMENTS hold them, and both are used again and again. Killing is as in lock.pml. The last reaper is never
 * killed, so recovery may be cut short at any step, and is then begun anew by another.
 *
 * Checked at each step that takes effect, against a plain queue of two counters: tickets are filled and taken in order,
 * each once, with the item that was put. "empty" and "full" are true. maxsize is never exceeded. No process touches a
 * block that is another's. And when all have ended, every block and segment that is kept has an owner.
 *
 * Ghosts: committed, taken, item, owner. */

#ifndef PRODUCERS
#define PRODUCERS 2
#endif
#ifndef NEWCOMERS
#define NEWCOMERS 0 /* producers that need the entry of a dead one first */
#endif
#ifndef CONSUMERS
#define CONSUMERS 1
#endif
#ifndef REAPERS
#define REAPERS 0
#endif
#ifndef KILLS
#define KILLS 0
#endif
#ifndef PUTS
#define PUTS 2      /* of producer 0 */
#endif
#ifndef OTHERS
#define OTHERS 1    /* of the other producers, each */
#endif
#ifndef TURNS
#define TURNS 3
#endif
#ifndef MAXSIZE
#define MAXSIZE 0
#endif
#ifndef SLOTS
#define SLOTS 1
#endif
#define DIRS 2
#ifndef SEGMENTS
#define SEGMENTS 3
#endif
#ifndef BLOCKS
#define BLOCKS 2
#endif
#ifdef IMMEDIATE
#define SMALL(n) ((n) % 2) /* every other item is stored in its slot */
#else
#define SMALL(n) false
#endif

#define ENTRIES (PRODUCERS + CONSUMERS)
#define USERS (ENTRIES + NEWCOMERS)
#define PROCESSES (USERS + REAPERS)
#define NOTHING 255

/* slot: kind, page, block or value. Memory that was never used is 0: the empty slot of a page that is none. */
#define EMPTY(p) (((p) + 1) << 2)
#define TAKEN(p) (((p) + 1) << 2 | 3)
#define BLOCK(p, b) (1 | ((p) + 1) << 2 | (b) << 5)
#define VALUE(p, n) (2 | ((p) + 1) << 2 | (n) << 5)
#define KIND(w) ((w) & 3)
#define PAGE_OF(w) (((w) >> 2 & 7) - 1)
#define PAYLOAD(w) ((w) >> 5)
#ifdef NO_PAGE
#define IS_EMPTY(w, p) (KIND(w) == 0)
#else
#define IS_EMPTY(w, p) ((w) == EMPTY(p))
#endif

/* block word */
#define FREE 0
#define OWNED(e) (1 + (e))
#define QUEUED(e, t) (64 | (e) << 3 | (t))
#define IS_QUEUED(w) ((w) >= 64)
#define ENTRY(w) ((w) >> 3 & 7)
#define TICKET(w) ((w) & 7)

/* segment state, directory entry */
#define LIVE(p) (1 + (p))
#define INIT(e, p) (64 | (e) << 3 | (p))
#define IS_INIT(s) ((s) >= 64)
#define IS_LIVE(s) ((s) > 0 && (s) < 64)
#define DIR(p, s) (((p) + 1) << 2 | (s))
#define DIR_PAGE(d) ((d) >> 2) /* + 1 */
#define SEGMENT(d) ((d) & 3)
#ifdef RECLAIM_EARLY
#define DONE_WITH(s, h) ((s) - 1 <= (h) / SLOTS)
#else
#define DONE_WITH(s, h) ((s) - 1 < (h) / SLOTS)
#endif

byte slot[SEGMENTS * SLOTS];
byte dir[DIRS];
byte segment[SEGMENTS];
byte word[BLOCKS];
byte payload[BLOCKS];
byte head, tail;
bool up[PROCESSES];
byte user[ENTRIES];  /* whose entry it is, process + 1; 0: free */
byte right[ENTRIES]; /* who may reap it, process + 1 */
bool ended[USERS];

byte committed, taken; /* ghosts: how many tickets are filled, how many items were taken */
byte item[8];          /* ghost: what was put with each ticket */
byte owner[BLOCKS];    /* ghost: the process that has the block, + 1 */

#define AT(s, t) slot[(s) * SLOTS + (t) % SLOTS]
#define HAVE(b, n) assert(owner[b] == 0); owner[b] = me + 1; payload[b] = n
#define LOSE(b) owner[b] = 0; payload[b] = 0
#define HELD(byte) (byte != 0 && up[byte - 1])

/* Does directory entry k say that segment s is a page's which is not past? */
#define IN_USE(k, s) (dir[k] != 0 && SEGMENT(dir[k]) == s && DIR_PAGE(dir[k]) > taken / SLOTS)

/* Anybody may do this for anybody. */
#define ADVANCE(counter, from) \
    if \
    :: counter == from -> counter = from + 1 \
    :: else \
    fi

/* The segment of page q, or NOTHING with d != 0: a page that is past. */
#define LOOK_UP(q) \
    d = dir[(q) % DIRS]; \
    if \
    :: DIR_PAGE(d) == (q) + 1 -> s = SEGMENT(d) \
    :: else -> s = NOTHING \
    fi

/* page_install; ends with s: a segment, or NOTHING if there is no room, or if another was faster. */
inline install(q)
{
    atomic { h = head; s = NOTHING };
    if
#ifndef INSTALL_PAST
    :: q < h / SLOTS -> t = tail /* installed, filled and emptied since we looked */
#endif
    :: q >= h / SLOTS + DIRS -> no_room = true
    :: else ->
        atomic {
            i = 0;
            do
            :: i < SEGMENTS && (segment[i] == 0 || (IS_LIVE(segment[i]) && DONE_WITH(segment[i], h))) ->
                s = i;
                assert(!IN_USE(0, s) && !IN_USE(1, s));
                segment[i] = INIT(e, q);
                break
            :: i < SEGMENTS - 1 -> i++
            :: else -> no_room = true; break
            od;
            i = 0
        };
        if
        :: s == NOTHING
        :: s != NOTHING ->
            d_step {
                i = 0;
                do
                :: i < SLOTS -> slot[s * SLOTS + i] = EMPTY(q); i++
                :: else -> break
                od;
                i = 0
            };
            atomic {
                if
                :: dir[(q) % DIRS] == d -> dir[(q) % DIRS] = DIR(q, s); i = LIVE(q)
                :: else -> i = 0
                fi
            };
            atomic {
                segment[s] = i;
                if
                :: i == 0 -> s = NOTHING
                :: else -> i = 0
                fi
            }
        fi
    fi
}

/* Moves the head over what was taken already; ends with h at a ticket that was not, or not yet filled. */
inline help_head()
{
    h = head;
    do
    :: atomic { LOOK_UP(h / SLOTS);
                if
                :: s == NOTHING && DIR_PAGE(d) > h / SLOTS + 1 -> h = head
                :: s == NOTHING && DIR_PAGE(d) <= h / SLOTS + 1 -> break
                :: else -> goto look
                fi };
       skip;
look:  atomic {
            w = AT(s, h);
            if
            :: IS_EMPTY(w, h / SLOTS) -> break
            :: PAGE_OF(w) != h / SLOTS -> h = head; w = 0; goto next
            :: KIND(w) == 3 -> goto past
            :: KIND(w) == 2 && PAGE_OF(w) == h / SLOTS ->
                was_full = was_full || committed - taken >= MAXSIZE;
                break
            :: else
            fi
        };
        atomic {
            if
            :: word[PAYLOAD(w)] >= 64 && TICKET(word[PAYLOAD(w)]) == h ->
                was_full = was_full || committed - taken >= MAXSIZE;
                break
            :: else
            fi
        };
past:   atomic { ADVANCE(head, h); h = head; w = 0 };
next:   skip
    od;
    w = 0
}

proctype producer(byte me; byte e) provided (up[me])
{
    byte t, s, d, w, h, i, b, n;
    bool no_room, was_full;

    if
    :: e != NOTHING
    :: e == NOTHING ->
        atomic {
            user[0] == 0 -> e = 0; user[0] = me + 1
        }
    fi;
    t = tail;
put:
    if
    :: SMALL(n) -> b = NOTHING
    :: else -> /* block_alloc: the lowest that is free; its CAS makes sure that it is */
        atomic {
            do
            :: b < BLOCKS && word[b] == FREE -> word[b] = OWNED(e); HAVE(b, me * 2 + n); break
            :: b < BLOCKS && word[b] != FREE -> b++
            :: else -> b = 0; goto finish
            od
        }
    fi;
at_page:
    atomic { LOOK_UP(t / SLOTS) };
    if
    :: s != NOTHING -> d = 0
    :: s == NOTHING && DIR_PAGE(d) > t / SLOTS + 1 -> atomic { t = tail; goto at_page }
    :: else ->
        install(t / SLOTS);
        atomic {
            h = 0; d = 0;
            if
            :: no_room -> goto give_up
            :: !no_room && s == NOTHING -> goto at_page
            :: else
            fi
        }
    fi;
at_slot:
    atomic {
        w = AT(s, t);
        if
        :: IS_EMPTY(w, t / SLOTS) -> goto found
        :: else
        fi
    };
    atomic {
        if
        :: PAGE_OF(w) == t / SLOTS -> ADVANCE(tail, t); t++
        :: else -> t = tail
        fi;
        w = 0;
        goto at_page
    };
found:
#if MAXSIZE > 0
    atomic { h = head; was_full = false };
    if
    :: t - h >= MAXSIZE ->
#ifndef NO_HELP
        i = s;
        help_head();
        s = i;
        i = 0;
#else
        was_full = committed - taken >= MAXSIZE;
#endif
#ifndef IGNORE_FULL
        if
        :: t - h >= MAXSIZE -> atomic { assert(was_full); goto give_up }
        :: else
        fi
#endif
    :: else
    fi;
    w = EMPTY(t / SLOTS);
#endif
    if
    :: b == NOTHING
    :: else -> atomic { assert(owner[b] == me + 1); word[b] = QUEUED(e, t) }
    fi;
    atomic { /* the one step that puts */
        if
#ifdef NO_PAGE
        :: AT(s, t) == w ->
#else
        :: AT(s, t) == EMPTY(t / SLOTS) ->
#endif
            assert(t == committed);
            assert(MAXSIZE == 0 || committed - taken < MAXSIZE);
            AT(s, t) = (b == NOTHING -> VALUE(t / SLOTS, me * 2 + n) : BLOCK(t / SLOTS, b));
            item[t] = me * 2 + n;
            if
            :: b != NOTHING -> owner[b] = 0 /* but its payload stays */
            :: else
            fi;
            committed++
        :: else -> w = 0; goto at_slot
        fi;
        w = 0; h = 0; s = 0; b = 0
    };
    atomic { ADVANCE(tail, t); t++; n++ };
    if
    :: n < (me == 0 -> PUTS : OTHERS) -> goto put
    :: else -> goto finish
    fi;
give_up:
    if
    :: b != NOTHING -> atomic { assert(owner[b] == me + 1); LOSE(b); word[b] = FREE }
    :: else
    fi;
finish:
    ended[me] = true
}

proctype consumer(byte me; byte e) provided (up[me])
{
    byte h, s, d, w, b, v, turns;

    h = head;
get:
    turns++;
at_page:
    atomic {
        LOOK_UP(h / SLOTS);
        if
        :: s == NOTHING && DIR_PAGE(d) < h / SLOTS + 1 -> assert(committed == taken); goto next
        :: s == NOTHING && DIR_PAGE(d) > h / SLOTS + 1 -> goto behind
        :: else -> d = 0
        fi
    };
    atomic {
        w = AT(s, h);
        if
        :: IS_EMPTY(w, h / SLOTS) -> assert(committed == taken); w = 0; goto next
        :: PAGE_OF(w) != h / SLOTS -> goto behind
        :: else
        fi
    };
#ifdef HEAD_FIRST
    atomic { ADVANCE(head, h) };
#endif
    if
    :: KIND(w) == 1 ->
        b = PAYLOAD(w);
        v = word[b];
#ifdef NO_TICKET
        if
        :: IS_QUEUED(v) ->
#else
        if
        :: IS_QUEUED(v) && TICKET(v) == h ->
#endif
            atomic { /* the one step that gets */
                if
                :: word[b] == v ->
                    word[b] = OWNED(e);
                    assert(h == taken);
                    taken++;
                    assert(payload[b] == item[h]);
                    item[h] = 0;
                    HAVE(b, 0);
                    v = 1
                :: else -> v = 0
                fi
            }
        :: else -> v = 0
        fi
    :: KIND(w) == 2 ->
        atomic {
            if
            :: AT(s, h) == w ->
                AT(s, h) = TAKEN(h / SLOTS);
                assert(h == taken);
                taken++;
                assert(PAYLOAD(w) == item[h]);
                item[h] = 0;
                v = 1
            :: else -> v = 0
            fi;
            b = NOTHING
        }
    :: KIND(w) == 3 -> v = 0
    fi;
    atomic { ADVANCE(head, h); h++; w = 0 };
    if
    :: !v -> goto at_page
    :: else
    fi;
    if
    :: b != NOTHING -> atomic { assert(owner[b] == me + 1); LOSE(b); word[b] = FREE }
    :: else
    fi;
next:
    atomic { w = 0; v = 0; b = 0; s = 0; d = 0 };
    if
    :: turns < TURNS -> goto get
    :: else -> goto finish
    fi;
behind:
    atomic { w = 0; d = 0; s = 0; h = head; goto at_page };
finish:
    ended[me] = true
}

/* Frees the block if nobody else has done something with it meanwhile. */
#ifdef STORE_FREE
#define SET_FREE(b, w) word[b] = FREE
#else
#define SET_FREE(b, w) \
    if \
    :: word[b] == w -> word[b] = FREE; assert(owner[b] == 0 || owner[b] == dead); LOSE(b) \
    :: else \
    fi
#endif

/* The recovery of entry e: its half-made pages, its blocks, then the entry. Each step may be run again. */
proctype reaper(byte me) provided (up[me])
{
    byte e, b, w, d, s, dead;

#define REAP(x) atomic { user[x] != 0 && !up[user[x] - 1] && !HELD(right[x]) -> right[x] = me + 1; e = x; dead = user[x] }
end:
    if
    :: REAP(0)
    :: REAP(1)
#if PRODUCERS + CONSUMERS > 2
    :: REAP(2)
#endif
#if PRODUCERS + CONSUMERS > 3
    :: REAP(3)
#endif
    fi;
#ifdef ENTRY_FIRST
    user[e] = 0;
#endif
    do
    :: b < SEGMENTS ->
        s = segment[b];
#ifndef KEEP_SEGMENTS
        if
        :: IS_INIT(s) && ENTRY(s) == e ->
            d = dir[TICKET(s) % DIRS];
            atomic {
                if
#ifdef FREE_SEGMENTS
                :: d == NOTHING -> skip
#else
                :: d == DIR(TICKET(s), b) -> segment[b] = LIVE(TICKET(s))
#endif
                :: else -> segment[b] = 0
                fi;
                d = 0
            }
        :: else
        fi;
#endif
        atomic { s = 0; b++ }
    :: b >= SEGMENTS -> b = 0; break
    od;
    do
    :: b < BLOCKS ->
        w = word[b];
        if
        :: w == OWNED(e) -> atomic { SET_FREE(b, w) }
#ifndef KEEP_QUEUED
        :: IS_QUEUED(w) && ENTRY(w) == e ->
#ifdef NO_LOOK
            s = NOTHING;
#else
            atomic { LOOK_UP(TICKET(w) / SLOTS) };
            if
            :: s != NOTHING && AT(s, TICKET(w)) == BLOCK(TICKET(w) / SLOTS, b) -> skip
            :: else -> s = NOTHING
            fi;
#endif
            if
            :: s == NOTHING -> atomic { SET_FREE(b, w) }
            :: else
            fi
#endif
        :: else
        fi;
        atomic { s = 0; d = 0; w = 0; b++ }
    :: b >= BLOCKS -> b = 0; break
    od;
    atomic {
#ifndef ENTRY_FIRST
        assert(user[e] == dead);
        user[e] = 0;
#endif
        right[e] = 0;
        e = 0;
        dead = 0;
        goto end
    }
}

proctype killer()
{
    byte victim, kills;
    do
    :: kills < KILLS ->
        atomic {
            select (victim : 0 .. USERS - 1 + (REAPERS > 1 -> REAPERS - 1 : 0));
            if
            :: victim < USERS && !ended[victim] -> up[victim] = false
            :: victim >= USERS -> up[victim] = false
            :: else
            fi;
            kills++;
            victim = 0
        }
    :: break
    od
}

/* When nothing can move any more. */
proctype clock()
{
    byte i;
    timeout;
    d_step {
        do
        :: i < BLOCKS ->
            assert(word[i] == FREE || (IS_QUEUED(word[i]) && TICKET(word[i]) >= taken && TICKET(word[i]) < committed));
            i++
        :: else -> break
        od;
        i = 0;
        do
        :: i < SEGMENTS -> assert(!IS_INIT(segment[i])); i++
        :: else -> break
        od
    }
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
        :: i < PRODUCERS -> user[i] = i + 1; run producer(i, i); i++
        :: i >= PRODUCERS && i < ENTRIES -> user[i] = i + 1; run consumer(i, i); i++
        :: i >= ENTRIES && i < USERS -> run producer(i, NOTHING); i++
        :: i >= USERS && i < PROCESSES -> run reaper(i); i++
        :: i >= PROCESSES -> break
        od;
        run clock();
        if
        :: KILLS > 0 -> run killer()
        :: else
        fi
    }
}
