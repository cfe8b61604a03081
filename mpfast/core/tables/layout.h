/* SPDX-License-Identifier: MIT */
/* What lies where in a shared Dict or List, and the words that it is made of.
 *
 * The header is a large slot of the family. All else lies in the slot's window of the family's file. What changes is
 * made anew or beside the old, and then one store makes it the present: of the root, of a state or of a ref.
 *
 *   window:  home | rows of parity 0 | of parity 1 | blocks of 64 bytes | ... | of 64 GiB | heads of blocks of 4 KiB | ...
 *   root:    tag:48 | parity:8 | level:8                  the rows of today
 *   ref:     0 = none | immediate:1, 63 bits of value | tag:31, class:5 (from bit 27), index:27
 *   about:   kind:8 | size of the payload:56              in front of a small block's payload, else apart
 *
 * A parity has rows of each level, at places of their own. Rows that are made anew have the other parity than today's. So
 * a reader of the rows before sees nothing change under it, and one that is later than that sees another root.
 *
 * A block is given back only after no word names it. No ref is the same as an earlier one while the root stays: each has
 * a tag of its own, and before the tags come round the rows are made anew, with new tags (rows_worn). So a reader that
 * copies a block, and then finds the ref and the root as they were, has copied what the ref means. */
#ifndef MPFAST_TABLES_LAYOUT_H
#define MPFAST_TABLES_LAYOUT_H

#include "core/family/slots.h"
#include "core/locks/lock.h"

enum table_form { TABLE_DICT = 0x64636964, TABLE_LIST = 0x7473696c }; /* "dict", "list" */

#define TABLE_CLASSES 31 /* class c has blocks of 64 << c bytes */
#define TABLE_LARGE 6    /* the first class whose heads lie apart, so that its payloads are whole pages */
#define TABLE_LEVEL_MIN 4
#ifndef TABLE_LEVEL_MAX
#define TABLE_LEVEL_MAX 28
#endif
#ifndef REF_TAGS
#define REF_TAGS UINT64_C(0x7fffffff) /* then they come round */
#endif
#ifndef TABLE_TAGS
#define TABLE_TAGS (UINT64_C(1) << 30) /* that are used until the rows are made anew */
#endif
#ifndef TABLE_KEEP
#define TABLE_KEEP ((uint64_t)64 << 20) /* bytes of free blocks that may stay, however little is in use */
#endif
#define TABLE_TRIES 64 /* of a reader, before it has to take the lock */
#define TABLE_COPIES 3 /* of one that wants it all */

struct table_header {
    struct lock lock;             /* of the writers. First, as in every slot with a lock */
    shared32 changing;            /* 1 while a writer changes something: if it is killed, the next one mends the rest */
    shared32 repairs;             /* how often one did */
    OWN_LINES shared64 root;      /* for readers: not in a line that writers fight for */
    uint64_t seed;                /* of the hashes of keys. As the form, it was there before the slot was shared */
    uint32_t form;                /* enum table_form */
    shared32 broken;              /* something in the slot or its window was not what the algorithm says */
    OWN_LINES shared64 tag;       /* advances before anything is changed, and with each ref and root */
    shared64 used;                /* bytes of blocks in use */
    shared64 idle;                /* bytes of free large blocks that have memory */
    shared32 tail;                /* of a Dict: entries at or above it are dead */
    shared32 free[TABLE_CLASSES]; /* the first free block, + 1 */
    shared32 bare[TABLE_CLASSES]; /* the first free block whose memory was given back, + 1 */
    shared32 high[TABLE_CLASSES]; /* what `top` was at most: more than that is damage */
    OWN_LINES shared32 top[TABLE_CLASSES]; /* blocks at or above it were never used. Readers load it too */
};
_Static_assert(sizeof(struct table_header) <= LARGE_SLOT_SIZE, "the header is a slot");

/* Kinds of values. Those below TABLE_KINDS mean something to the caller, and have bytes. */
enum { TABLE_KINDS = 0xf0, KIND_FREE = 0xf0, KIND_BARE = 0xf1, TABLE_CONSTANT = 0xfe, TABLE_INT = 0xff };

/* A value that comes in: bytes of a kind, or a number. */
struct table_value {
    uint32_t kind;
    uint64_t size;
    const void *data;
    int64_t number; /* of a TABLE_INT or TABLE_CONSTANT */
};

/* A value that goes out, to the caller's memory. */
struct table_room {
    void *data;
    uint64_t room;
    uint32_t kind;
    uint64_t size; /* what it takes, also if there is too little room */
    int64_t number;
};

#define REF_IMMEDIATE (UINT64_C(1) << 63)
#define REF_CONSTANT (UINT64_C(1) << 62)

static inline bool table_int_fits(int64_t n) { return n >= -(INT64_C(1) << 61) && n < INT64_C(1) << 61; }
static inline uint64_t ref_int(int64_t n) { return REF_IMMEDIATE | ((uint64_t)n & (REF_CONSTANT - 1)); }
static inline uint64_t ref_constant(int64_t n) { return REF_IMMEDIATE | REF_CONSTANT | (uint64_t)(uint32_t)n; }
static inline bool ref_is_int(uint64_t ref) { return ref >> 62 == 2; }
static inline int64_t ref_number(uint64_t ref)
{
    return ref & REF_CONSTANT ? (int64_t)(uint32_t)ref : (int64_t)(ref << 2) >> 2;
}

/* From 1 on, so that no ref is 0. */
static inline uint64_t ref_block(uint64_t tag, uint32_t class, uint32_t index)
{
    return (tag % REF_TAGS + 1) << 32 | (uint64_t)class << 27 | index;
}
static inline uint32_t ref_class(uint64_t ref) { return (uint32_t)(ref >> 27) & 31; }
static inline uint32_t ref_index(uint64_t ref) { return (uint32_t)ref & 0x7ffffff; }
static inline uint64_t ref_with_tag(uint64_t ref, uint64_t tag)
{
    return ref & REF_IMMEDIATE ? ref : ref_block(tag, ref_class(ref), ref_index(ref));
}

#define TAG_MASK ((UINT64_C(1) << 48) - 1)

static inline uint64_t root_make(uint64_t tag, uint32_t parity, uint32_t level)
{
    return tag << 16 | (uint64_t)parity << 8 | level;
}
static inline uint64_t root_tag(uint64_t root) { return root >> 16; }
static inline uint32_t root_level(uint64_t root) { return (uint32_t)root & 0xff; }
static inline uint32_t root_parity(uint64_t root) { return (uint32_t)(root >> 8) & 0xff; }
static inline bool root_sound(uint64_t root)
{
    return root_level(root) >= TABLE_LEVEL_MIN && root_level(root) <= TABLE_LEVEL_MAX && root_parity(root) < 2;
}

static inline uint64_t about_make(uint32_t kind, uint64_t size) { return (uint64_t)kind << 56 | size; }
static inline uint32_t about_kind(uint64_t about) { return (uint32_t)(about >> 56); }
static inline uint64_t about_size(uint64_t about) { return about & ((UINT64_C(1) << 56) - 1); }

/* Regions of the window. Each grows by extents, as those of a store do. The first extents lie together at home. */
#define TABLE_REGIONS 64
#define TABLE_REGION ((uint64_t)1 << 36)
#define TABLE_UNIT ((uint64_t)PAGE_MOST)
#define TABLE_HOME (TABLE_REGIONS * TABLE_UNIT)

static inline uint64_t table_region_at(uint32_t region) { return (UINT64_C(1) + region) * TABLE_REGION; }
static inline uint32_t region_of_class(uint32_t class) { return 2 + class; }
static inline uint32_t region_of_heads(uint32_t class) { return 2 + TABLE_CLASSES + class; }

static inline uint64_t blocks_size(uint32_t class) { return UINT64_C(64) << class; }
static inline uint32_t blocks_most(uint32_t class)
{
    uint64_t most = TABLE_REGION / blocks_size(class);
    return most < UINT64_C(1) << 27 ? (uint32_t)most : 1u << 27;
}
static inline uint64_t blocks_capacity(uint32_t class)
{
    return class < TABLE_LARGE ? blocks_size(class) - 8 : blocks_size(class);
}

/* The class for a payload of `size` bytes. TABLE_CLASSES or more: there is none. */
static inline uint32_t blocks_class(uint64_t size)
{
    if (size <= blocks_capacity(TABLE_LARGE - 1))
        return size <= 56 ? 0 : 58 - (uint32_t)__builtin_clzll(size + 7);
    return size <= blocks_size(TABLE_LARGE) ? TABLE_LARGE : 58 - (uint32_t)__builtin_clzll(size - 1);
}

static inline bool ref_sound(uint64_t ref)
{
    return !(ref & REF_IMMEDIATE) && ref_class(ref) < TABLE_CLASSES && ref_index(ref) < blocks_most(ref_class(ref));
}

/* Where the rows of a level lie in the region of their parity, and how many bytes they are at most. */
static inline uint64_t level_size(uint32_t level) { return UINT64_C(32) << level; }
static inline uint64_t level_at(uint32_t level) { return level_size(level); }

_Static_assert((TABLE_REGIONS + 1) * TABLE_REGION <= WINDOW_WORDS, "the window has room for all regions");
_Static_assert(TABLE_HOME <= TABLE_REGION, "home lies before the regions");
_Static_assert((UINT64_C(64) << TABLE_LEVEL_MAX) <= TABLE_REGION, "a region has room for all levels");
_Static_assert((UINT64_C(64) << (TABLE_CLASSES - 1)) <= TABLE_REGION, "a region has room for a block");

#endif
