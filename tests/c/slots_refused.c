/* SPDX-License-Identifier: MIT */
/* Kernels that give no memory of a file back, as gVisor: whoever has a window next must not find there what was in it. */
#define STEP() ((void)0)
#define POINT() ((void)0)
#define READ_POINT() ((void)0)
#include "check.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>

static bool no_holes, no_map;
static int cleared; /* asked what exists */
static int written; /* bytes of the file, through mappings made for it */

#define fallocate(fd, mode, at, size) (no_holes ? (errno = EOPNOTSUPP, -1) : (fallocate)(fd, mode, at, size))
#define lseek(fd, at, whence) \
    (cleared += (whence) == SEEK_DATA, no_map ? (errno = EINVAL, (off_t) - 1) : (lseek)(fd, at, whence))

#define mmap(place, size, rights, flags, fd, at) \
    (written += (fd) < 0 ? 0 : (int)(size), (mmap)(place, size, rights, flags, fd, at))

#include "users.h"

#include "core/queue/queue.h"

static struct family *family;

static uint32_t slot_new(void)
{
    int64_t slot = handle_claim(family, SLOT_LARGE, SLOT_QUEUE);
    EXPECT(slot >= 0);
    return (uint32_t)slot;
}

static void leave_traces(uint32_t slot)
{
    static const char text[100000] = "of somebody else";
    for (uint64_t at = 0; at < WINDOW_WORDS; at += WINDOW_WORDS / 4)
        EXPECT_EQ(pwrite(family->fd, text, sizeof text, (off_t)(window_offset(slot) + at)), sizeof text);
}

static bool has_traces(uint32_t slot)
{
    char found[16] = "";
    for (uint64_t at = 0; at < WINDOW_WORDS; at += WINDOW_WORDS / 4) {
        EXPECT_EQ(pread(family->fd, found, sizeof found, (off_t)(window_offset(slot) + at)), sizeof found);
        if (found[0] != 0)
            return true;
    }
    return false;
}

/* The slot is used again, or else it is not, and says so. */
static uint32_t after_traces(void)
{
    uint32_t slot = slot_new(), again;
    leave_traces(slot);
    handle_remove(family, slot);
    again = slot_new();
    EXPECT(!has_traces(again));
    handle_remove(family, again);
    return again == slot;
}

static void holes(void)
{
    EXPECT(after_traces());
    EXPECT_EQ(cleared, 0);
}

static void zeros(void)
{
    no_holes = true;
    EXPECT(after_traces());
    EXPECT(cleared > 0);
}

/* Neither the words that were zeroed before nor the payloads of large blocks are written again. */
static void only_what_was_used(void)
{
    uint32_t slot = slot_new();
    leave_traces(slot);
    EXPECT_EQ(pwrite(family->fd, "payload", 8, (off_t)(window_offset(slot) + class_data_at(STORE_LARGE))), 8);
    handle_remove(family, slot);
    written = 0;
    EXPECT_EQ(slot_new(), slot);
    EXPECT_EQ(pwrite(family->fd, "word", 4, (off_t)window_offset(slot) + 9000), 4);
    handle_remove(family, slot);
    EXPECT_EQ(slot_new(), slot);
    EXPECT(!has_traces(slot));
    handle_remove(family, slot);
    EXPECT(written > 0 && written < 40000);
    char payload[8];
    EXPECT_EQ(pread(family->fd, payload, 8, (off_t)(window_offset(slot) + class_data_at(STORE_LARGE))), 8);
    EXPECT_EQ(memcmp(payload, "payload", 8), 0);
}

static void limit(rlim_t soft)
{
    struct rlimit l;
    EXPECT_EQ(getrlimit(RLIMIT_FSIZE, &l), 0);
    l.rlim_cur = soft < l.rlim_max ? soft : l.rlim_max;
    EXPECT_EQ(setrlimit(RLIMIT_FSIZE, &l), 0);
}

/* A limit on the size of files is not for what is zeroed, and SIGXFSZ ends nothing. */
static void under_a_limit(void)
{
    struct rlimit before;
    uint32_t slot = slot_new();
    leave_traces(slot);
    EXPECT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
    limit(0);
    handle_remove(family, slot);
    limit(before.rlim_cur);
    EXPECT_EQ(slot_new(), slot);
    EXPECT(!has_traces(slot));
    handle_remove(family, slot);
}

static void neither(void)
{
    uint32_t slot = slot_new();
    leave_traces(slot);
    no_holes = no_map = true;
    handle_remove(family, slot);
    EXPECT_EQ(slot_kind(load_relaxed(&family->states[slot])), SLOT_EMPTYING);
    no_holes = no_map = false;
    uint32_t other = slot_new();
    EXPECT(other != slot && !has_traces(other));
    handle_remove(family, other);
}

int main(void)
{
    begin(55);
    family = family_new();
    RUN(holes);
    RUN(zeros);
    RUN(only_what_was_used);
    RUN(under_a_limit);
    RUN(neither);
    family_end(family);
    return GOOD;
}
