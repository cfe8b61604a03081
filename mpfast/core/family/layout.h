/* SPDX-License-Identifier: MIT */
/* The layout of a family segment, one sparse, sealed memfd that all processes of a tree map.
 *
 *   header | participants | slot states | freed hints | references | small slots | large slots | windows | heap
 *
 * Untouched pages do not exist, so the large tables cost address space only. A harness may define smaller tables. */
#ifndef MPFAST_LAYOUT_H
#define MPFAST_LAYOUT_H

#include "core/base/atomic.h"

#include <stddef.h>

#ifndef FAMILY_PARTICIPANTS
#define FAMILY_PARTICIPANTS 4096 /* entry 0 is never used, so that no identity is 0 */
#endif
#ifndef FAMILY_SMALL_SLOTS
#define FAMILY_SMALL_SLOTS (1u << 20)
#endif
#ifndef FAMILY_LARGE_SLOTS
#define FAMILY_LARGE_SLOTS (1u << 16)
#endif

#define FAMILY_MAGIC UINT64_C(0x31796c696d61666d) /* "mfamily1" */
#define FAMILY_ABI 6u
#define FAMILY_SLOTS (FAMILY_SMALL_SLOTS + FAMILY_LARGE_SLOTS)
#define FAMILY_PAGE 4096u
#define SMALL_SLOT_SIZE 64u
#define LARGE_SLOT_SIZE 1024u

enum slot_class { SLOT_SMALL, SLOT_LARGE, SLOT_CLASSES };

struct family_header {
    uint64_t magic;
    uint32_t abi;
    uint32_t layout; /* family_layout() of the build that made the segment */
    uint8_t id[16];  /* random, tells two families apart in one process */
    uint64_t size;
    shared32 participants_top;          /* entries at or above it were never used */
    shared32 slots_top[SLOT_CLASSES];   /* per class, slots at or above it were never used */
    shared32 slots_freed[SLOT_CLASSES]; /* about how many bits of the freed hints are set */
    shared32 vouched;                   /* advances when a participant has set reference bits for another */
    shared32 unheard;                   /* 1 once a process could not ring for a queue's watcher: relay.h */
    shared32 relayed;                   /* advances when a process cannot, and a relay has to */
};

/* A thread that sleeps on a slot says so here. This is for mpfast.locks(), never for correctness. */
#define WAIT_RECORDS 4
struct wait_record {
    shared32 tid; /* 0: free */
    shared32 slot;
    shared64 since; /* CLOCK_MONOTONIC, nanoseconds */
};

struct participant {
    shared64 state;      /* see participant.h. This word commits every change of an entry */
    shared64 registered; /* CLOCK_BOOTTIME, nanoseconds. A process that started later only reuses the pid */
    shared64 namespace;  /* inode of the pid namespace in which `state` names a pid */
    shared64 pages;      /* bit k is set if a reference in page k of the entry's bitmap ever was */
    shared64 cpu;        /* where the process last waited for a lock or woke a waiter, + 1, 0 = unknown, see peers.h */
    shared64 dropping;   /* slot + 1 whose last reference is perhaps being cleared. A reaper finishes that */
    shared64 reaper;     /* the identity that gives back what this entry's dead process had, 0 = none, see reap.h */
    shared64 unused;
    struct wait_record waits[WAIT_RECORDS];
};

#define ROUND_UP(n, to) (((n) + (to) - 1) / (to) * (to))
#define REFS_STRIDE ROUND_UP(FAMILY_SLOTS / 8, FAMILY_PAGE) /* bytes of one participant's reference bitmap */
#define REFS_WORDS (REFS_STRIDE / 8)

#define OFFSET_PARTICIPANTS ((size_t)FAMILY_PAGE)
#define OFFSET_STATES ROUND_UP(OFFSET_PARTICIPANTS + FAMILY_PARTICIPANTS * sizeof(struct participant), FAMILY_PAGE)
#define OFFSET_FREED ROUND_UP(OFFSET_STATES + (size_t)FAMILY_SLOTS * 8, FAMILY_PAGE)
#define OFFSET_REFS ROUND_UP(OFFSET_FREED + FAMILY_SLOTS / 8, FAMILY_PAGE)
#define OFFSET_SMALL (OFFSET_REFS + (size_t)FAMILY_PARTICIPANTS * REFS_STRIDE)
#define OFFSET_LARGE ROUND_UP(OFFSET_SMALL + (size_t)FAMILY_SMALL_SLOTS * SMALL_SLOT_SIZE, FAMILY_PAGE)
#define FAMILY_SIZE (OFFSET_LARGE + (size_t)FAMILY_LARGE_SLOTS * LARGE_SLOT_SIZE)

/* Behind the part that every process maps, each large slot has a window of the file for what does not fit in it. */
#define WINDOW_SIZE (UINT64_C(1) << 45)
#define WINDOW_WORDS \
    (UINT64_C(1) << 43) /* from here on there are payloads only, which are written before they are read */
#define OFFSET_WINDOWS ROUND_UP(FAMILY_SIZE, (size_t)2 << 20)
#define OFFSET_HEAP (OFFSET_WINDOWS + FAMILY_LARGE_SLOTS * WINDOW_SIZE)

/* Behind the windows lie the blocks of arrays that need none, in regions (core/values/heap.h). */
#define HEAP_REGION (UINT64_C(1) << 32)
#define HEAP_SIZE (16 * HEAP_REGION)
#define FAMILY_FILE (OFFSET_HEAP + HEAP_SIZE)

_Static_assert(sizeof(struct participant) == 128, "two cache lines");
_Static_assert(FAMILY_SMALL_SLOTS % 64 == 0 && FAMILY_LARGE_SLOTS % 64 == 0, "whole words of bitmap");
_Static_assert(REFS_STRIDE / FAMILY_PAGE <= 64, "participant.pages has a bit for each page of a bitmap");

/* A digest of every size that two builds must agree on before they share a segment. */
static inline uint32_t family_layout(void)
{
    const uint64_t facts[] = {FAMILY_PARTICIPANTS, FAMILY_SMALL_SLOTS, FAMILY_LARGE_SLOTS, sizeof(struct participant),
                              SMALL_SLOT_SIZE,     LARGE_SLOT_SIZE,    OFFSET_SMALL,       FAMILY_FILE};
    uint32_t digest = 2166136261u; /* FNV-1a (Fowler, Noll, Vo) */
    for (size_t i = 0; i < sizeof facts; i++)
        digest = (digest ^ ((const uint8_t *)facts)[i]) * 16777619u;
    return digest;
}

#endif
