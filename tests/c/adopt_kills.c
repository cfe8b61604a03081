/* SPDX-License-Identifier: MIT */
/* A slot is offered to a process that lives already. Kills and stops at every step of the giver, and of the taker. */
#include "kills.h"

#define UNCHANGED 0x5a5a5a5au

static struct offer {
    _Atomic uint32_t slot, generation, giver;
    _Atomic int made, answered, dropped, taken;
} *offer;

static uint32_t *content(uint32_t slot) { return &((struct lock *)slot_at(family, slot))->policy; }

static void offer_prepare(void)
{
    offer = mmap(NULL, sizeof *offer, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    EXPECT(offer != MAP_FAILED);
}

/* Makes a slot and offers it. */
static uint32_t make_offer(void)
{
    uint32_t slot = make(family, SLOT_LOCK);
    *content(slot) = UNCHANGED;
    offer->slot = slot;
    offer->generation = generation_of(family, slot);
    offer->giver = identity_index(family_me(family));
    offer->made = 1;
    return slot;
}

static bool take_offer(void)
{
    int rc = handle_adopt(family, offer->slot, SLOT_LOCK, offer->generation, offer->giver);
    EXPECT(rc == 0 || rc == -ESTALE);
    if (rc == 0)
        EXPECT_EQ(*content(offer->slot), UNCHANGED);
    return rc == 0;
}

/* As long as this process has it, it is nobody else's. */
static void keep_it_a_while(void)
{
    EXPECT(slot_valid(family, offer->slot, SLOT_LOCK, offer->generation));
    for (int i = 0; i < 4; i++) {
        uint32_t other = make(family, SLOT_LOCK);
        EXPECT(other != offer->slot);
        *content(other) = 0;
        handle_remove(family, other);
    }
    EXPECT_EQ(*content(offer->slot), UNCHANGED);
    EXPECT(slot_valid(family, offer->slot, SLOT_LOCK, offer->generation));
}

static void give_up_the_offer(void) { handle_remove(family, offer->slot); }

static void bury_victim(void)
{
    struct reaped r = {0};
    if (scene->killed)
        reap_owner(family, scene->victim, &r);
}

/* The taker is the victim. The giver waits for its answer, or its end. */
static void take(void)
{
    UNTIL(offer->made);
    EXPECT(take_offer());
    offer->answered = 1;
    UNTIL(offer->dropped);
    keep_it_a_while();
    give_up_the_offer();
}

static void give_to_victim(void)
{
    uint32_t slot = make_offer();
    UNTIL(offer->answered || scene->killed);
    handle_remove(family, slot);
    offer->dropped = 1;
}

/* The giver is the victim. It does not wait for an answer, so that it gives up at every step of the taker's. Then it has
 * the same slot again, which is not the one that it offered. */
static void give_in_haste(void)
{
    uint32_t slot = make_offer();
    handle_remove(family, slot);
    offer->dropped = 1;
    for (int i = 0; i < 2; i++) {
        uint32_t again = make(family, SLOT_LOCK);
        handle_remove(family, again);
    }
}

static void give(void)
{
    uint32_t slot = make_offer();
    UNTIL(offer->answered);
    handle_remove(family, slot);
}

static void take_from_victim(void)
{
    UNTIL(offer->made || scene->killed);
    if (!offer->made)
        return;
    offer->taken = take_offer();
    EXPECT(offer->taken || scene->killed || offer->dropped || playing->victim == give_in_haste);
    offer->answered = 1;
    UNTIL(scene->go);
    bury_victim();
    if (offer->taken) {
        keep_it_a_while();
        give_up_the_offer();
    }
}

/* The giver is stopped half way. Who takes the slot now must have it when the giver goes on, or is dead. */
static void take_meanwhile(void)
{
    if (offer->made)
        offer->taken = take_offer();
}

static void look_afterwards(void)
{
    bury_victim();
    if (!offer->taken && scene->killed && offer->made)
        offer->taken = take_offer();
    if (offer->taken) {
        keep_it_a_while();
        give_up_the_offer();
    }
}

static const struct scenario scenarios[] = {
    {.name = "taker", .prepare = offer_prepare, .victim = take, .companion = give_to_victim, .companions = 1},
    {.name = "giver", .prepare = offer_prepare, .victim = give, .companion = take_from_victim, .companions = 1},
    {.name = "hasty giver",
     .prepare = offer_prepare,
     .victim = give_in_haste,
     .companion = take_from_victim,
     .companions = 1},
    {.name = "giver, taken meanwhile",
     .prepare = offer_prepare,
     .victim = give_in_haste,
     .meanwhile = take_meanwhile,
     .afterwards = look_afterwards},
};

int main(void) { return run_scenarios(scenarios, (int)(sizeof scenarios / sizeof *scenarios)); }
