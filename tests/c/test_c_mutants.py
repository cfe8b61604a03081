# SPDX-License-Identifier: MIT
"""Shows that the harnesses notice: the core with one expression weakened must fail, or hang, in the harness named.

Not here, as no harness can see them on x86, where every locked instruction is a full barrier and TSan judges by what
happens before what: seq_cst weakened to acquire-release (the Dekker pairs of bounded.h and condition.h).
"""

import shutil
from pathlib import Path
from typing import NamedTuple

import pytest
import test_c
from test_c import ROOT, VARIANTS, launcher, sanitize

TRIES = 8  # some races are seen in most runs, not in all
DEADLINE = 15  # the harnesses of the unharmed core take less than two seconds


class Mutant(NamedTuple):
    harness: str
    header: str
    old: str
    new: str
    variant: str


ORDERS = [
    ("semaphore", "semaphore", "cas_acquire(&s->word", "cas_relaxed(&s->word"),
    ("semaphore", "semaphore", "cas_release(&s->word", "cas_relaxed(&s->word"),
    ("event", "event", "cas_release(&e->word", "cas_relaxed(&e->word"),
    ("event", "event", "return load_acquire(&e->word)", "return load_relaxed(&e->word)"),
    ("event", "event", "uint32_t word = load_acquire(&e->word)", "uint32_t word = load_relaxed(&e->word)"),
    ("bounded", "bounded", "cas_seq(&b->cells[cell]", "cas_relaxed(&b->cells[cell]"),
    ("bounded", "bounded", "cas_seq(&b->cells[i]", "cas_relaxed(&b->cells[i]"),
    ("barrier", "barrier", "cas_acqrel(&b->word, &word, next)", "cas_relaxed(&b->word, &word, next)"),
    (
        "barrier",
        "barrier",
        "cas_acqrel(&b->word, &word, barrier_next",
        "cas_relaxed(&b->word, &word, barrier_next",
    ),
    ("barrier", "barrier", "uint64_t word = load_acquire(&b->word)", "uint64_t word = load_relaxed(&b->word)"),
    ("rlock", "lock", "swap_release(&l->word, 0)", "atomic_exchange_explicit(&l->word, 0, __ATOMIC_RELAXED)"),
    ("rlock", "lock", "cas_acquire(&l->word", "cas_relaxed(&l->word"),
    ("slots", "slots", "cas_acqrel(&f->states[slot]", "cas_relaxed(&f->states[slot]"),
]
LOGIC = [
    ("semaphore", "semaphore", "if (keep && word >> 1 > 1)", "if (0)"),
    ("semaphore", "semaphore", "w->slept ? SEMAPHORE_W : 0", "0"),
    ("semaphore", "semaphore", "if (word & SEMAPHORE_W)", "if (0)"),
    ("semaphore", "semaphore", "word >> 1 >= s->maximum", "word >> 1 > s->maximum"),
    ("event", "event", "|| EVENT_COUNT(word) != since", ""),
    ("event", "event", "if (word & EVENT_W)", "if (0)"),
    ("event", "event", "(word & ~EVENT_W)", "word"),
    ("bounded", "bounded", "bounded_pass_on(b);\n            return", "return"),
    ("bounded", "bounded", "while (word & BOUNDED_W)", "while (0)"),
    ("bounded", "bounded", "add_relaxed(&b->returned, 1u);", ""),
    ("bounded", "bounded", "|| bounded_take_returned(b)", ""),
    ("bounded", "bounded", "!died || b->policy", "b->policy"),
    ("bounded", "life/reap", "reap_fits(slot, ((struct bounded *)cell)->size, BOUNDED_SMALL, BOUNDED_LARGE)", "1"),
    ("bounded", "life/reap", "reap_owner(f, identity_make(index, state_generation(state)), r);", "(void)r;"),
    ("condition", "condition", "store_seq(&c->notified, ticket); /* pairs with ticket_notified, and", "/* and"),
    ("condition", "condition", "or_seq(&c->sleepers, ticket_bit(ticket))", "(void)0"),
    ("condition", "condition", "bits |= ticket_bit(ticket);\n            n--;", "bits |= ticket_bit(ticket);"),
    ("condition", "condition", "or_relaxed(&c->cancelled[ticket", "(void)(&c->cancelled[ticket"),
    ("condition", "condition", "|| participant_absent(f, index, state)", ""),
    ("condition", "condition", "and_relaxed(&c->cancelled[cell / 64], ~(UINT64_C(1) << cell % 64));", ""),
    ("condition", "condition", "if (ticket_unknown(c, ticket)) {", "if (0) {"),
    ("condition", "condition", "store_seq(&c->notified, load_relaxed(&c->tail))", "(void)0"),
    ("barrier", "barrier", "STEP();\n    futex_wake(barrier_futex(b), INT_MAX);", "STEP();"),
    ("barrier", "barrier", "barrier_resets_nobody(word) ? word & ~BARRIER_BROKEN :", ""),
    ("barrier", "barrier", "if (word & BARRIER_ACTING)\n            return ARRIVED_TOO_EARLY;", ""),
    ("barrier", "barrier", "barrier_check_members(f, slot, b, round);\n    }", ";\n    }"),
    ("barrier", "barrier", "<< 1 | whole", "<< 1 | 1"),
    ("barrier", "life/reap", "reap_fits(slot, ((struct barrier *)cell)->parties, BARRIER_SMALL, UINT32_MAX)", "1"),
    ("rlock", "rlock", "if (depth == 0)", "if (1)"),
    ("rlock", "lock", "store_relaxed(&l->depth, 1);", ""),
    ("rlock", "lock", "&& load_relaxed(&l->holder) == thread_id(me)", ""),
    ("adopt_kills", "handle", "ref_get(f, giver, slot) && slot_valid(", "slot_valid("),
    ("adopt_kills", "handle", "slot) && slot_valid(f, slot, kind, generation)", "slot)"),
    ("adopt_kills", "handle", "if (!valid)\n            slot_drop(f, me, slot);", ""),
    ("adopt_kills", "handle", "ref_set(f, me, slot);", ""),
    ("waiting", "waiting", "w->backstop * 2 < w->longest", "1"),
    ("waiting", "waiting", "&& w->spins++ < SPIN_ATTEMPTS", ""),
    ("waiting", "waiting", "store_relaxed(&w->record->tid, 0);", ""),
    ("waiting", "spin", "(int64_t)until <= now &&", ""),
    ("waiting", "spin", "store_relaxed(lease, 0);", ""),
    ("waiting", "peers", "if (last >> 16 != mark >> 16)", ""),
]
QUEUE = [
    ("queue_late", "page", "page < past ||", ""),
    ("queue_late", "page", "(state & PAGE_MASK) >= past", "(state & PAGE_MASK) > past"),
    ("queue_late", "queue/layout", "return cell >> 36 == page_tag(page);", "return true;"),
    ("queue_late", "take", "if (!block_has_ticket(word, ticket))", "if (0)"),
    ("queue_late", "hold", "while (block_participant(word) != holder &&", "while (0 &&"),
    ("queue_damage", "take", "if (unlikely(!name_valid(name)))", "if (0)"),
    ("queue_damage", "page", "if (!name_valid(cell_what(cell)))", "if (0)"),
    ("queue_damage", "store/layout", "&& name_index(name) < class_blocks(name_class(name))", ""),
    ("queue_damage", "store/layout", "return word >> 61 <= BLOCK_LOST;", "return true;"),
    ("queue_damage", "page", "tail <= head &&", ""),
    ("queue_damage", "page", "&& head <= tail + 1", ""),
    ("queue_damage", "page", "|| directory_segment(entry) >= QUEUE_SEGMENTS", ""),
    ("queue_damage", "item", "if (item->size > class_capacity(class))", "if (0)"),
    ("queue_damage", "hold", "&& participant < FAMILY_PARTICIPANTS", ""),
    ("queue_faults_memory", "hold", "hold_settle(s, b, word & TICKET_MASK);\n    return true;", "return true;"),
    ("queue_faults_memory", "trim", "chunk_free(s, class, first, i);\n            return false;", "continue;"),
    ("queue_faults_memory", "memory", "if (!trimmed)\n            store_trim(s);", ""),
    ("queue_faults_memory", "queue", "putting && load_relaxed(&q->header->shutdown)", "0"),
]
BELL = [  # who rings late, or by another descriptor
    ("queue_races", "bell", "bell_calm(q);\n    queue_silence", "queue_silence"),
    ("queue_races", "bell", "|| !queue_empty(q); /* pairs", "|| true; /* pairs"),
    ("queue_races", "bell", "load_seq(&q->header->ringing) == 0 &&", ""),
    ("queue", "ring", "r->inode == w->inode && ringer_kept(r) &&", "r->inode == w->inode && r->fd >= 0 &&"),
    ("queue", "ring", "if (ringer_kept(r)) /* else", "if (0) /* else"),
    ("queue", "ring", "return rc == -EMFILE || ", "return "),
    ("bell", "bell", "*open = socket_guard(f, fd) < 0;", "*open = false;"),
    ("bell", "bell", "        socket_silence(q);\n", "        ;\n"),
    ("bell", "ring", "store_release(&w->by_socket, 1);", "(void)w;"),
    ("bell", "ring", "    store_relaxed(&to->unheard, 1);\n", ""),
    ("bell", "ring", "    relays_wake(f);\n    return false;", "    return false;"),
    ("bell", "ring", "|| errno == EAGAIN ? 0", "? 0"),
    ("bell", "relay", "        queue_ring(q);", '        (void)!write(q->bell[1], "", 1);'),
    ("bell", "relay", "    if (!any)\n        f->relay = 0;\n", ""),
]
TABLE = [  # of participants and slots, and what only a kill shows
    ("family", "family", "return (seals & FAMILY_SEALS) == FAMILY_SEALS ? 0 : -EPERM;", "return 0;"),
    ("family", "family", "if ((uint64_t)st.st_size != FAMILY_FILE)\n        return -EBADMSG;", ""),
    ("participant", "participant", "return byte_free(f, index) && proc_is_ours()", "return 0 && proc_is_ours()"),
    (
        "participant",
        "participant",
        "return byte_free(f, index);\n    return here",
        "return true;\n    return here",
    ),
    ("slots", "slots", "ref_set(f, identity_index(me), slot);\n    uint64_t claimed", "uint64_t claimed"),
    ("slots", "slots", "slot_generation(state) + 1);\n    if", "slot_generation(state));\n    if"),
    ("fork", "participant", "if (pid_ended(state_pid(state)))\n        return true;", "return true;"),
    ("fork", "fork", "member_copy_refs(f, identity_index(me), identity_index(identity));", ""),
    ("fork", "participant", "cas_acqrel(state, &live, left);", "(void)left;"),
    ("reap", "life/reap", "if (family_me(f) == 0 || (holder != 0 && !reaper_gone(f, (uint32_t)holder)))", "if (0)"),
    ("reap", "life/reap", "(holder != 0 && !reaper_gone(f, (uint32_t)holder))", "holder != 0"),
    ("reap", "condition", "cas_relaxed(&c->ring[i], &owner, TICKET_NOBODY);", "(void)owner;"),
    ("reap", "barrier", "if (died && (barrier_gap(b, word) || barrier_gap_before(b, word)))", "if (0)"),
    ("kills", "lock", "store_relaxed(&l->dead_pid, (uint32_t)pid);\n    STEP();\n    do {", "return;\n    do {"),
    ("kills", "lock", "next = l->policy == DEATH_RAISE ? word | LOCK_DEAD : 0;", "next = 0;"),
    (
        "kills_meeting",
        "barrier",
        "return barrier_gap_before(b, word) ? barrier_dead_user(f, slot, b) : 0;",
        "return 0;",
    ),
    ("kills_meeting", "barrier", "    barrier_blank(b, me, round);\n", ""),
    ("framing", "framing", "length <= FRAME_SHORT_MAX) {", "length <= FRAME_SHORT_MAX + 1u) {"),
    ("framing", "framing", "kind == FRAME_LONG ? 12 :", "kind == FRAME_LONG ? 8 :"),
    ("framing", "framing", "f->head + (kind == FRAME_LONG ? 4 : 8)", "f->head + 4"),
    ("framing", "framing", "if (f->got < 4)", "if (f->got < 3)"),
    (
        "wire",
        "wire",
        "first < count && size >= parts[first].iov_len",
        "first < count && size > parts[first].iov_len",
    ),
    ("wire", "wire", "        parts[first].iov_len -= size;\n", ""),
    ("wire", "wire", "return *done == size ? 1 : -EINTR;", "return 1;"),
    ("wire", "wire", "h->failures = success ? 0 : h->failures + 1;", "h->failures++;"),
    ("wire", "turn", "t->epoch + 1 == turn_epoch && ", ""),
    ("wire", "turn", "u->epoch == turn_epoch ? u->count : 0", "u->count"),
    ("wire", "turn", "    add_relaxed(&t->given, 1);\n", ""),
    ("wire", "wire", "    h->skip--;\n", ""),
    ("wire", "wire", "if (!tried && wire_attempt(&a))", "if (wire_attempt(&a))"),
    ("turn", "turn", "    futex_wake(&t->given, 1);\n", ""),
    ("turn", "turn", "    if (t->epoch != turn_epoch)\n        t->waiters = 0;\n", ""),
    ("kills_table", "life/reap", "uint64_t note = load_relaxed(&p->dropping);", "uint64_t note = 0;"),
    ("kills_table", "slots", "store_relaxed(note, (uint64_t)slot + 1);", ""),
    ("kills_table", "life/reap", "STEP();\n    slot_drop(f, index, slot);", "STEP();"),
]
VALUES = [  # of Values and Arrays
    ("section", "section", "return lock_mine(l, me) ? SECTION_MINE : SECTION_BUSY;", "return SECTION_MINE;"),
    ("section", "section", "    store_relaxed(&l->holder, 0); /* a killed", "    ; /* a killed"),
    ("section", "section", "if (unlikely(load_relaxed(&l->wake_bits) != 0)) {", "if (0) {"),
    ("section", "section", "        futex_wake(&l->word, 1);\n", ""),
    ("section", "lock", "word & LOCK_DEAD && load_acquire(&l->holder) == 0;", "word & LOCK_DEAD;"),
    ("section", "lock", "    add_relaxed(&l->deaths, 1u);\n", ""),
    ("values_kills", "lock", "word & LOCK_DEAD && load_acquire(&l->holder) == 0;", "word & LOCK_DEAD;"),
    ("values_kills", "lock", "    store_relaxed(&l->holder, 0);\n    CHECK(slot", "    CHECK(slot"),
    ("number", "number", "int shift = 64 - 8 * size;", "int shift = 0;"),
    (
        "number",
        "number",
        "if (number_cas(p, size, seen, number_bits(number_double(seen, size) + n, size)))",
        "number_store(p, size, number_bits(number_double(seen, size) + n, size));",
    ),
    ("heap", "heap", "if (before != 0)\n        memset(data, 0, size);", ""),
    ("heap", "heap", "if (heap_in_use(h, *before) ||", "if ("),
    ("heap", "heap", "if (word == 0 || slot >= FAMILY_SLOTS)", "if (word == 0)"),
    ("heap", "heap", "store_release(word, rc == 0 ? 0 : before);", "store_release(word, 0);"),
    ("heap", "heap", "class < HEAP_CLASSES && index < HEAP_BLOCKS &&", ""),
    ("heap", "heap", "(top < HEAP_BLOCKS ? top : HEAP_BLOCKS)", "top"),
    ("values_kills", "heap", "if (before != 0)\n        memset(data, 0, size);", ""),
    ("values_kills", "slots", "return kind == SLOT_QUEUE || kind == SLOT_ARRAY ||", "return kind == SLOT_QUEUE ||"),
]
SHARED = [  # of a Dict and a List
    (
        "tables_kills",
        "dict_change",
        (
            "    entry_write(dict_entries(&now->rows) + at, key->hash, name, value);\n"
            "    store_relaxed(&t->header->tail, at + 1);\n"
            "    index_add(&now->rows, key->hash, at);\n"
            "    dict_commit(&now->rows, dict_state(at + 1, state_live(now->state) + 1));\n"
        ),
        (
            "    dict_commit(&now->rows, dict_state(at + 1, state_live(now->state) + 1));\n"
            "    entry_write(dict_entries(&now->rows) + at, key->hash, name, value);\n"
            "    store_relaxed(&t->header->tail, at + 1);\n"
            "    index_add(&now->rows, key->hash, at);\n"
        ),
    ),
    (
        "tables_kills",
        "dict_change",
        "    store_release(&e->value, ref);",
        "    table_give(t, old);\n    old = 0;\n    store_release(&e->value, ref);",
    ),
    (
        "tables_kills",
        "dict_change",
        "    store_release(&e->dead, at",
        "    store_release(&e->value, 0);\n    store_release(&e->dead, at",
    ),
    (
        "tables_kills",
        "dict_change",
        (
            "    dict_commit(&fresh, dict_state(live, live));\n"
            "    store_relaxed(&t->header->tail, live);\n"
            "    rows_commit(t, fresh.root);\n"
        ),
        (
            "    rows_commit(t, fresh.root);\n"
            "    dict_commit(&fresh, dict_state(live, live));\n"
            "    store_relaxed(&t->header->tail, live);\n"
        ),
    ),
    ("tables_kills", "dict_change", "    return dict_sweep(t, &now);", "    return 0;"),
    (
        "tables_kills",
        "dict_change",
        "    if (rc == 0)\n        rc = dict_renew(t, &now, false);\n    if (rc < 0)",
        "    if (rc < 0)",
    ),
    ("tables_kills", "dict_change", "store_release(dict_index(to) + i, 0);", "(void)i;"),
    ("tables_kills", "dict_change", "    store_relaxed(&t->header->tail, at + 1);\n    index", "    index"),
    ("tables_kills", "dict", "return dead == 0 || dead > state_used(state);", "return dead == 0;"),
    ("tables_kills", "rows", "load_relaxed(&t->header->changing) != 0", "0"),
    ("tables_kills", "rows", "    store_relaxed(&t->header->changing, 1);\n", ""),
    (
        "tables_kills",
        "list_change",
        (
            "        list_write(list_items(&now->rows) + now->length + i, refs[i]);\n"
            "    list_commit(&now->rows, now->length += n);\n"
        ),
        (
            "        list_commit(&now->rows, now->length + n),\n"
            "            list_write(list_items(&now->rows) + now->length + i, refs[i]);\n"
        ),
    ),
    (
        "tables_kills",
        "list_change",
        "    list_commit(&fresh, length);\n    rows_commit(t, fresh.root);\n",
        "    rows_commit(t, fresh.root);\n    list_commit(&fresh, length);\n",
    ),
    (
        "tables_kills",
        "list_change",
        "    list_write(word, ref);\n    table_give(t, old);",
        "    table_give(t, old);\n    list_write(word, ref);",
    ),
    (
        "tables_kills",
        "list_change",
        "    if (end && now->rows.root == old.root) {",
        "    list_give(t, &old, at, gone);\n    if (end && now->rows.root == old.root) {",
    ),
    ("tables_kills", "tables/block", "    table_count(&t->header->used, -(int64_t)blocks_size(class));\n", ""),
    ("tables_kills", "marks", "            used += ", "            used = "),
    ("tables_kills", "marks", "        if (marks_has(s, class, index))\n            continue;\n", ""),
    ("tables_late", "tables/value", "    if (load_acquire(word) != ref) /*", "    if (0) /*"),
    ("tables_late", "rows", "    if (!rows_still(t, r))\n        return -EAGAIN;\n", ""),
    ("tables_late", "rows", "!root_parity(root)", "root_parity(root)"),
    (
        "tables_late",
        "rows",
        "return ((load_relaxed(&t->header->tag) - root_tag(root)) & TAG_MASK) >= TABLE_TAGS;",
        "(void)t, (void)root;\n    return false;",
    ),
    ("tables_late", "dict_change", "ref_with_tag(value, tag + 2)", "value"),
    ("tables_late", "dict_change", "    store_release(&e->value, 0); /*", "    /*"),
    ("tables_late", "tables/value", "ref_block(table_next_tag(t), class", "ref_block(1, class"),
    ("tables_late", "dict_copy", " || seen_moved(t, tag)", ""),
    ("tables_kills", "dict", "|| at >= used)", ")"),
    (
        "tables_late",
        "core/tables/list",
        "    if (load_acquire(r->state) <= at || load_acquire(word) != ref) /*",
        "    if (0) /*",
    ),
    (
        "tables_late",
        "core/tables/list",
        "    if (i < 0 && seen_moved(t, tag))\n        return -EAGAIN;",
        "    (void)tag;",
    ),
    ("tables_late", "core/tables/list", " || seen_moved(t, tag)) /*", ") /*"),
    ("tables_late", "core/tables/list", "load_acquire(r->state) <= at || ", ""),
    (
        "tables_limits",
        "dict_change",
        "while (level < TABLE_LEVEL_MAX && dict",
        "while (level <= TABLE_LEVEL_MAX && dict",
    ),
    ("tables_limits", "dict_change", "state_live(now->state) + 1 >= dict_capacity(TABLE_LEVEL_MAX)", "0"),
    (
        "tables_limits",
        "list_change",
        "while (level < TABLE_LEVEL_MAX && list",
        "while (level <= TABLE_LEVEL_MAX && list",
    ),
    ("tables_limits", "rows", "parity < 2 && level !=", "parity < 1 && level !="),
    (
        "tables_limits",
        "rows",
        "table_punch(t, parity, level_at(level)",
        "table_punch(t, parity, level_at(root_level(root))",
    ),
    (
        "tables_limits",
        "rows",
        "return level_size(root_level(root)) > TABLE_UNIT && few < room / 16;",
        "return few > room;",
    ),
    (
        "tables_limits",
        "marks",
        "return bytes > load_relaxed(&t->header->used)",
        "return 0 && bytes > load_relaxed(&t->header->used)",
    ),
    ("tables_fuzz", "tables/value", "bool fits = room->size <= blocks_capacity(ref_class(ref)) &&", "bool fits ="),
    (
        "tables_fuzz",
        "tables/layout",
        "return root_level(root) >= TABLE_LEVEL_MIN && root_level(root) <= TABLE_LEVEL_MAX && root_parity(root) < 2;",
        "return root != 77;",
    ),
    ("tables_fuzz", "dict", "n <= mask; i = (i + 1)", "n != UINT64_MAX; i = (i + 1)"),
    ("tables_fuzz", "list", "        rc = -EBADMSG;\n    else if (at < length)", "        ;\n    if (at < length)"),
    (
        "tables_fuzz",
        "list_change",
        "return now->length <= list_capacity(root_level(now->rows.root)) ? 0 : table_damaged(t);",
        "return 0;",
    ),
    (
        "tables_fuzz",
        "tables/block",
        "if (first > load_relaxed(&t->header->top[class]) || first > blocks_most(class))",
        "if (0)",
    ),
    ("tables_fuzz", "marks", "if (!ref_sound(ref) || index >= load_relaxed(&t->header->top[class]))", "if (0)"),
]
VALUE_ORDERS = [
    ("section", "section", "cas_acquire(&l->word", "cas_relaxed(&l->word"),
    ("section", "section", "swap_release(&l->word, 0)", "atomic_exchange_explicit(&l->word, 0, __ATOMIC_RELAXED)"),
    ("number", "number", "NUMBER_WRITE(number_store, store_seq)", "NUMBER_WRITE(number_store, store_relaxed)"),
    ("number", "number", "NUMBER_READ(number_load, load_seq)", "NUMBER_READ(number_load, load_relaxed)"),
    ("number", "number", "return cas_seq((shared32 *)p", "return cas_relaxed((shared32 *)p"),
    ("heap", "heap", "load_acquire(&h->family->states[slot])", "load_relaxed(&h->family->states[slot])"),
]
EXITS = [
    ("exit_table", "exit_table", " && exits_generation(word) == token / EXITS_SLOTS", ""),
    ("exit_table", "exit_table", "return exits_state(word) != EXITS_FREE && ", "return "),
    ("exit_table", "exit_table", "% EXITS_GENERATION_MASK + 1", "+ 1"),
    ("exit_table", "exit_table", "cas_relaxed(at, &word, next)", "(store_relaxed(at, next), true)"),
    ("exit_table", "exit_table", "cas_relaxed(at, &word, next)", "(cas_relaxed(at, &word, next), true)"),
    ("exit_table", "exit_table", "    futex_wake(exits_futex(t, token), INT_MAX);\n", "        return;\n"),
    (
        "exit_table",
        "exit_table",
        "futex_wake(exits_futex(t, token), INT_MAX)",
        "futex_wake(exits_futex(t, token), 1)",
    ),
    ("exit_table", "exit_table", "exits_state(before) == EXITS_WANTED || ", ""),
    ("exit_table", "exit_table", " || exits_state(before) == EXITS_SAID)", ")"),
    ("exit_table", "exit_table", "code & 0xff", "code"),
    ("exit_table", "exit_table", "if (exits_state(word) == EXITS_SPARE)", "if (0)"),
    ("exit_table", "exit_table", "return exits_state(word) == EXITS_EXITED ? word : ", "return "),
    ("exit_table", "exit_table", "return exits_with(word, EXITS_SPARE, 0);", "return word;"),
    ("exit_table", "exit_table", "bool ended = false;\n    for", "bool ended = true;\n    for"),
    ("exit_table", "exit_table", "ended = exits_ended(server);", "ended = false;"),
    ("exit_table", "exit_table", " && (p.revents & POLLIN)", ""),
    ("exit_table", "exit_table", "(seals & EXITS_SEALS) != EXITS_SEALS", "0"),
    ("exit_table", "exit_table", " || (uint64_t)st.st_size != EXITS_SIZE", ""),
    ("exit_table_kills", "exit_table", " || backstop == EXITS_LONGEST)", ")"),
    ("exit_table_kills", "exit_table", "deadline - now > backstop ? now + backstop : deadline", "deadline"),
    (
        "exit_table_kills",
        "exit_table",
        "if (exits_state(word) == EXITS_EXITED)\n        return exits_make(",
        "if (0)\n        return exits_make(",
    ),
    ("exit_table_kills", "exit_table", "continue; /* once more", "return EXITS_UNKNOWN; /* once more"),
]
TASKS = [  # of a pool. Those of pool.h break the protocol that its worker, or the pool's process, has to keep
    ("tasks_kills", "store/reap", "if (r->store->header->policy == REAP_KEEP)", "if (0)"),
    (
        "tasks_kills",
        "store/reap",
        "if (r->store->header->policy == REAP_KEEP)",
        "if (owned && r->store->header->policy == REAP_KEEP)",
    ),
    ("tasks_kills", "ledger", "        reap_blocks(&reaper);", "        (void)reaper;"),
    (
        "tasks_kills",
        "group",
        "cas_acqrel(group, &word, over ? word | GROUP_FINISHED : word + 1)",
        "(store_relaxed(group, over ? word | GROUP_FINISHED : word + 1), true)",
    ),
    (
        "group_races",
        "group",
        "cas_acqrel(group, &word, group_make(*from, *from))",
        "(store_relaxed(group, group_make(*from, *from)), true)",
    ),
    ("tasks_kills", "group", "if (word & GROUP_CONDEMNED)\n            return GROUP_GIVEN_UP;", ""),
    ("group_races", "group", "cas_acqrel(group, &word, then)", "(store_relaxed(group, then), true)"),
    ("tasks", "results", "store_relaxed(&result_of(item)->count, 0); /* published by block_free */", ";"),
    (
        "tasks_kills",
        "pool",
        "    store_relaxed((shared64 *)cell_at(out, n),",
        "    result_count(&result_of(out)->count, n + 1);\n    store_relaxed((shared64 *)cell_at(out, n),",
    ),
    (
        "tasks_kills",
        "pool",
        "    drain();\n    settle_lost(results, dead, deliver);\n    settle_lost(tasks, dead, settle_task);\n",
        "    settle_lost(tasks, dead, settle_task);\n    drain();\n    settle_lost(results, dead, deliver);\n",
    ),
    ("tasks_kills", "pool", "i == GROUP_GIVEN_UP; pause()", "0;"),
    ("tasks_kills_asleep", "workers", "    eventcount_notify(&tasks->header->items, n);", "        (void)n;"),
    ("tasks_kills_asleep", "workers", "    eventcount_wake(&tasks->header->items, INT_MAX);\n", "    (void)tasks;\n"),
    ("tasks", "workers", "    eventcount_wake(&tasks->header->items, INT_MAX);\n", "    (void)tasks;\n"),
    ("tasks", "workers", "load_seq(&s->pool->leave) || ", ""),
    ("tasks", "workers", " || load_seq(&s->pool->workers[s->number].leave)", ""),
    ("tasks", "ledger", "if (state_generation(state) == identity_generation(identity))", "if (1)"),
    ("tasks", "ledger", "        item->size = 0;", "        ;"),
    (
        "tasks",
        "ledger",
        "load_acquire(&b->word) != block_lost(identity)",
        "block_state(load_acquire(&b->word)) != BLOCK_LOST",
    ),
    ("tasks", "results", "BLOCK_LOST)", "99)"),
    (
        "tasks",
        "results",
        " || block_participant(word) == queue_me(results))\n        return 0;",
        ")\n        return 0;",
    ),
    ("tasks", "results", "item->kind == RESULT_CELLS ? count : 0", "count"),
    ("tasks", "tasks", "        queue_trim(s->tasks);\n", ""),
    ("tasks", "tasks", "seat_may_tidy(s) ? TASK_PAUSE : NEVER", "TASK_PAUSE"),
    ("tasks", "results", "    if (rc == 0)\n        store_relaxed(&result_of(item)->count, 0);", ""),
    ("tasks", "results", "end < deadline ? end : deadline", "deadline"),
    ("tasks", "walk", "if (!family_fd_valid(s->family))", "if (0)"),
    ("tasks", "tasks/tasks", "if (unlikely(!task_sound(item)))", "if (0)"),
    ("tasks", "group", " || (element >= *to && !running)", ""),
    ("group_races", "group", "(running ? GROUP_CONDEMNED : 0)", "GROUP_CONDEMNED"),
]
TASK_ORDERS = [
    ("group_races", "group", "cas_acqrel(group, &word, over", "cas_relaxed(group, &word, over"),
    ("group_races", "group", "cas_acqrel(group, &word, then)", "cas_relaxed(group, &word, then)"),
    ("group_races", "group", "cas_acqrel(group, &word, group_make", "cas_relaxed(group, &word, group_make"),
    ("group_races", "group", "store_release(count, n)", "store_relaxed(count, n)"),
    ("group_races", "group", "load_acquire(count)", "load_relaxed(count)"),
]
MUTANTS = [
    *(Mutant(*row, "tsan") for row in (*ORDERS, *TASK_ORDERS, *VALUE_ORDERS)),
    *(Mutant(*row, "plain") for row in (*LOGIC, *QUEUE, *BELL, *TABLE, *VALUES, *SHARED, *EXITS, *TASKS)),
]


def mutated(mutant: Mutant, where: Path) -> Path:
    """Copies of the core and of the harnesses, with the mutant in one of their headers."""
    shutil.copytree(ROOT / "mpfast/core", where / "core")
    shutil.copytree(ROOT / "tests/c", where / "c", ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    (header,) = where.rglob(f"{mutant.header}.h")
    text = header.read_text()
    assert mutant.old in text, f"{header.name} has changed: the mutant has to"
    header.write_text(text.replace(mutant.old, mutant.new))
    return where


@sanitize
@pytest.mark.timeout(120)
@pytest.mark.parametrize("mutant", MUTANTS, ids=[f"{m.harness}-{i}" for i, m in enumerate(MUTANTS)])
def test_mutant_is_caught(mutant: Mutant, tmp_path: Path) -> None:
    prefix, problem = launcher(mutant.variant)
    if problem:
        pytest.skip(problem)
    flags = next(variant.flags for variant in VARIANTS if variant.name == mutant.variant)
    target = tmp_path / mutant.harness
    include = f"-I{mutated(mutant, tmp_path)}"
    built = test_c.build(tmp_path / f"c/{mutant.harness}.c", target, [include, "-Wno-error", *flags])
    assert built.returncode == 0, built.stderr
    for _ in range(TRIES):
        result = test_c.run([*prefix, str(target)], DEADLINE)
        if result.returncode != 0:
            return
    pytest.fail(f"{mutant} was not noticed\n{result.stdout}")
