/* SPDX-License-Identifier: MIT */
/* What a user of sections does: section.h as the extension calls it. */
#ifndef MPFAST_TEST_SECTIONS_H
#define MPFAST_TEST_SECTIONS_H

#include "users.h"

#include "core/locks/section.h"
#include "core/values/beside.h"
#include "core/values/number.h"

static inline void *number_of(const struct user *u, uint32_t slot) { return (char *)slot_at(u->f, slot) + BESIDE_AT; }

/* A section, entered or not; -EOWNERDEAD: a holder with a name was killed. */
static inline int user_section(struct user *u, uint32_t slot)
{
    struct lock *l = slot_at(u->f, slot);
    struct waiting w;
    int rc = (int)section_enter(l, u->me);
    if (rc != SECTION_BUSY)
        return rc;
    user_waits(u, &w, NEVER, BACKSTOP_OWNED);
    while ((rc = section_wait(u->f, slot, u->me, &w, &u->history)) != 0) {
        if (rc != -EOWNERDEAD)
            continue;
        user_reap(u, load_relaxed(&l->word));
        if (section_inherit(l, u->me))
            break;
        uint32_t word = load_relaxed(&l->word);
        if (word & LOCK_DEAD && load_relaxed(&l->holder) != 0 && load_relaxed(&l->word) == word) {
            waiting_end(&w);
            return -EOWNERDEAD;
        }
    }
    waiting_end(&w);
    return SECTION_TAKEN;
}

static inline void user_leave(struct user *u, uint32_t slot, int entered)
{
    if (entered == SECTION_TAKEN)
        section_leave(u->f, slot_at(u->f, slot));
}

/* What a locked fetch_add does. False: -EOWNERDEAD. */
static inline bool user_add(struct user *u, uint32_t slot, uint64_t n)
{
    int entered = user_section(u, slot);
    if (entered < 0)
        return false;
    number_write(number_of(u, slot), 8, number_read(number_of(u, slot), 8) + n);
    user_leave(u, slot, entered);
    return true;
}

#endif
