/* SPDX-License-Identifier: MIT */
/* A reader of a Dict or List is slow: before one of its accesses, or two of them, writers do so and so many things. Then
 * it goes on in a world in which blocks and rows have other uses. It must find one of the states that there were
 * meanwhile, whole. The writers run inside of the reader, as a signal handler would, since it holds nothing. In half of
 * the cases the last writer is killed in the middle. Then the state that it did not commit must not be found. */
static void late_point(void);
static void write_point(void);
#define POINT() write_point()
#define READ_POINT() late_point()
#define STEP() ((void)0)
#define REF_TAGS 150
#define TABLE_TAGS 60
#define TABLE_KEEP ((uint64_t)16 << 10)
#include "check.h"

#include "tabled.h"

#include <setjmp.h>

KILLED_BY_JUMPS

#define STATES 100
#define MOST_LATE 20000 /* accesses of a reader, that it has an end */

#define ROUND 0 /* as a distance */
#define OLD 24  /* tags or less, until the one of a value comes round */

enum look { GET, LAST, LENGTH, COPY, LOOKS };

static struct family *family;
static struct model states[STATES];
static int seen_states;
static char where[120];
static struct {
    long seen, at[2];
    int distance;
    bool inside, uncommitted;
    enum look look;
    uint32_t item; /* for ROUND */
    shared64 *word;
    long half; /* the write before which the last writer is killed. 0: it is not */
} late;
static jmp_buf killed;
static long writes_left;

static void write_point(void)
{
    if (writes_left > 0 && --writes_left == 0)
        longjmp(killed, 1);
}

/* The state after `d` counts if it was committed. */
static void half_done(const struct model *m, const struct doing *d)
{
    if (setjmp(killed) == 0) {
        writes_left = late.half;
        table_do(m, d);
    }
    writes_left = 0;
    seen_states -= !table_is(&states[seen_states - 1]);
    EXPECT(table_is(&states[seen_states - 1]));
}

/* Two values by turns, of one size, until the item's word is what it was: then the tags have come round. */
static void round_again(void)
{
    struct model *m = &states[0];
    struct table_key key = key_of(lists ? 0 : m->keys[late.item]);
    uint64_t before = load_relaxed(late.word);
    seen_states = 3;
    for (int i = 0; i < 3 * REF_TAGS && (i == 0 || load_relaxed(late.word) != before); i++) {
        struct table_value v = value_of(1005 + 480 * (uint32_t)(i % 2));
        states[1 + i % 2] = *m;
        states[1 + i % 2].values[late.item] = 1005 + 480 * (uint32_t)(i % 2);
        EXPECT_EQ(lists ? list_set(table, late.item, &v) : dict_set(table, &key, &v), 1);
    }
}

/* What was the end changes when it is that no more, and is the end again. */
static void end_moves(void)
{
    struct doing some[] = {{APPEND, 0, 1003, 1}, {ASSIGN, states[0].n - 1, 1009, 1}, {TAKE_LAST, 0, 0, 0}};
    for (int i = 0; i < 2 + (int)chance(2); i++) {
        struct model *m = &states[seen_states - 1];
        table_do(m, &some[i]);
        states[seen_states] = *m;
        model_do(&states[seen_states++], &some[i]);
    }
}

/* The last item goes, and a writer dies that was about to append another one. */
static void end_half_back(void)
{
    struct doing take = {TAKE_LAST, 0, 0, 0}, append = {APPEND, 0, 1008, 1};
    struct model *m = &states[seen_states - 1];
    late.half = 4; /* the commit: before it come the note of the change, the tag and the ref */
    table_do(m, &take);
    states[seen_states] = *m;
    model_do(&states[seen_states], &take);
    states[seen_states + 1] = states[seen_states];
    model_do(&states[seen_states + 1], &append);
    seen_states += 2;
    half_done(&states[seen_states - 2], &append);
}

/* The last item is taken, and a writer is killed that was putting another one there. */
static void end_half_moves(void)
{
    struct doing some[] = {{TAKE_LAST, 0, 0, 0}, {APPEND, 0, 1008, 1}};
    for (int i = 0; i < 2; i++) {
        struct model *m = &states[seen_states - 1];
        states[seen_states] = *m;
        model_do(&states[seen_states++], &some[i]);
        if (i == 0)
            table_do(m, &some[i]);
        else
            half_done(m, &some[i]);
    }
}

static void others(void)
{
    if (lists && late.distance == ROUND && late.look == GET && late.half > 0 && late.item == states[0].n - 1) {
        late.inside = true;
        late.half = 1 + late.half % 5;
        if (seen_states == 1)
            end_half_moves();
        late.inside = false;
        return;
    }
    if (late.distance == ROUND && late.uncommitted) {
        late.inside = true;
        end_half_back();
        late.inside = false;
        return;
    }
    if (late.distance == ROUND && late.look == LAST) {
        late.inside = true;
        end_moves();
        late.inside = false;
        return;
    }
    if (late.distance == ROUND) {
        late.inside = true;
        round_again();
        late.inside = false;
        return;
    }
    late.inside = true;
    for (int i = 0; i < late.distance && seen_states < STATES; i++) {
        struct model *m = &states[seen_states - 1];
        struct doing d = doing_by_chance(m, chance(40));
        bool last = i == late.distance - 1 || seen_states == STATES - 1;
        states[seen_states] = *m;
        model_do(&states[seen_states++], &d);
        if (late.half == 0 || !last)
            table_do(m, &d);
        else
            half_done(m, &d);
    }
    late.inside = false;
}

static void late_point(void)
{
    if (late.at[0] == 0 || late.inside)
        return;
    late.seen++;
    if (late.seen == late.at[0] || late.seen == late.at[1])
        others();
}

static bool get_is(const struct model *m, uint32_t key, int rc, const struct table_room *room)
{
    uint32_t i = lists ? key : model_find(m, key);
    if (key == UINT32_MAX)
        i = m->n > 0 ? m->n - 1 : m->n;
    return rc == (i < m->n) && (rc == 0 || value_is(m->values[i], room->kind, room->size, room->data, room->number));
}

/* Looks once, slowly. -EAGAIN is no answer, but not a wrong one. */
static bool look_is_sound(enum look look, uint32_t key)
{
    static char bytes[VALUE_ROOM];
    static struct table_copy copy;
    struct table_room room = {.data = bytes, .room = sizeof bytes};
    struct table_key k = key_of(lists || look == LAST ? 0 : key);
    int64_t rc;
    key = look == LAST ? UINT32_MAX : key;
    if (look == GET || look == LAST)
        rc = lists ? list_get(table, look == LAST ? -1 : (int64_t)key, &room) : dict_get(table, &k, &room);
    else
        rc = look == LENGTH ? table_length() : table_copy_all(&copy);
    late.inside = true;
    bool found = rc == -EAGAIN;
    for (int i = 0; i < seen_states && !found; i++)
        found = look == LENGTH ? rc == states[i].n
                : look == COPY ? rc == 0 && copy_is(&copy, &states[i])
                               : get_is(&states[i], key, (int)rc, &room);
    late.inside = false;
    return found;
}

static void put_at(struct model *m, uint32_t item, uint32_t value)
{
    struct table_value v = value_of(value);
    struct table_key key = key_of(lists ? 0 : m->keys[item]);
    EXPECT_EQ(lists ? list_set(table, item, &v) : dict_set(table, &key, &v), 1);
    m->values[item] = value;
}

static uint64_t rows_age(void)
{
    return load_relaxed(&table->header->tag) - root_tag(load_relaxed(&table->header->root));
}

/* Gives the item a value of the size that it will have, and finds its word. The value is old by then. */
static void come_to(struct model *m)
{
    struct rows r;
    int rc;
    put_at(m, late.item, 1245);
    uint64_t tag = load_relaxed(&table->header->tag), left;
    int most = 1000;
    do { /* until the value's tag comes round after an even number of values, before the rows are made anew */
        put_at(m, (late.item + 1) % m->n, 1002);
        left = REF_TAGS - (load_relaxed(&table->header->tag) - tag) % REF_TAGS;
    } while (m->n > 1 && most-- > 0 &&
             (left % 4 != 0 || (left + rows_age() >= TABLE_TAGS && rows_age() < 2 * TABLE_TAGS) || left > OLD));
    struct table_key key = key_of(lists ? 0 : m->keys[late.item]);
    EXPECT_EQ(rows_now(table, &r), 0);
    late.word = lists ? list_items(&r) + late.item : &dict_find(table, &r, load_relaxed(r.state), &key, &rc)->value;
}

/* False: the reader had no access so late. */
static bool slow_at(enum look look, int before, int distance, long first, long second)
{
    struct model m = {0};
    chance_seed((uint64_t)before * 7 + lists);
    table_new(family, lists);
    for (int i = 0; i < before; i++) {
        struct doing d = doing_by_chance(&m, (uint32_t)i % 39);
        table_do(&m, &d);
        model_do(&m, &d);
    }
    late.item = m.n == 0 ? 0 : chance(m.n);
    if (distance == ROUND) {
        if (m.n < 2) {
            table_end(family);
            return false;
        }
        late.uncommitted = lists && look == GET && second == 0;
        if (late.uncommitted)
            late.item = m.n - 1;
        else if (lists && look == GET && chance(2))
            late.item = m.n - 1;
        come_to(&m);
    }
    uint32_t key = lists ? late.item : m.keys[late.item];
    chance_seed((uint64_t)first * 1000 + (uint64_t)distance);
    states[0] = m;
    seen_states = 1;
    late.distance = distance;
    late.half = chance(2) * (1 + chance(25));
    late.look = look;
    late.seen = 0;
    late.at[0] = first;
    late.at[1] = second;
    bool sound = look_is_sound(look, key);
    late.at[0] = 0;
    EXPECT(sound);
    EXPECT(!table_broken(table));
    EXPECT(distance == ROUND || table_is(&states[seen_states - 1]));
    table_end(family);
    return late.seen >= (second > first ? second : first);
}

static void slow(enum look look, int stride)
{
    static const char *const names[] = {"get", "last", "length", "copy"};
    static const int distances[] = {1, 2, 3, 10, 45, ROUND};
    long cases = 0;
    if (look == LAST && !lists)
        return;
    for (int before = 3; before < 60; before += 7 * stride)
        for (int d = 0; d < 6; d++)
            for (long first = 1, second; first < MOST_LATE; first += 1 + stride * first / 30) {
                snprintf(where, sizeof where, "%s, %s, after %d, at access %ld, by %d", lists ? "list" : "dict",
                         names[look], before, first, distances[d]);
                cases++;
                if (!slow_at(look, before, distances[d], first, 0))
                    break;
                for (second = first + 1; slow_at(look, before, distances[d], first, second); cases++)
                    second += 1 + stride * (second - first) / 2;
            }
    printf("  %s, %-6s %ld cases\n", lists ? "list" : "dict", names[look], cases);
    EXPECT(cases > 10);
}

int main(void)
{
#ifdef __SANITIZE_THREAD__
    puts("one thread");
    return SKIP;
#endif
    begin(100);
    family = family_new();
    doing = where;
    int stride = stress() ? 1 : SANITIZED ? 15 : 7;
    for (int l = 0; l < 2; l++)
        for (int look = 0; look < LOOKS; look++) {
            lists = l;
            slow((enum look)look, stride);
        }
    family_end(family);
    _exit(GOOD); /* what the killed had of private memory is lost, and no leak */
}
