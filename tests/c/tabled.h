/* SPDX-License-Identifier: MIT */
/* A Dict or List beside a plain model of it, and things to do to both. Values say what they are: their bytes follow from a
 * number. Include it after users.h. */
#ifndef MPFAST_TEST_TABLED_H
#define MPFAST_TEST_TABLED_H

#include "users.h"

#include "core/tables/dict_change.h"
#include "core/tables/dict_copy.h"
#include "core/tables/list_change.h"
#include "core/tables/stats.h"

#define MODEL_ROOM 64
#define MODEL_KEYS 24
#define VALUE_ROOM 6000

struct model {
    uint32_t n, keys[MODEL_ROOM], values[MODEL_ROOM];
};

enum what {
    SET,
    DELETE,
    POP,
    POP_LAST,
    DEFAULT,
    EXCHANGE,
    ADD,
    CLEAR,
    APPEND, /* from here on to a List */
    EXTEND,
    ASSIGN,
    TAKE,
    TAKE_LAST,
    SPLICE,
    REVERSE
};

struct doing {
    enum what what;
    uint32_t key, value, n;
};

static struct table *table;
static bool lists; /* the table is a List */

/* Values ------------------------------------------------------------------------------------------------------------- */

static char value_bytes[VALUE_ROOM];

static inline uint64_t value_size(uint32_t value)
{
    static const uint64_t sizes[] = {0, 0, 20, 150, 5000, 3};
    return sizes[value % 6] + value % 40;
}

static inline struct table_value value_of(uint32_t value)
{
    if (value % 6 == 0)
        return (struct table_value){.kind = TABLE_INT, .number = (int64_t)value - 1000};
    uint64_t size = value_size(value);
    for (uint64_t i = 0; i < size; i++)
        value_bytes[i] = (char)(value * 31 + i * 7);
    memcpy(value_bytes, &value, size < 4 ? size : 4);
    return (struct table_value){.kind = value % 100, .size = size, .data = value_bytes};
}

/* Is this the value, whole? */
static inline bool value_is(uint32_t value, uint32_t kind, uint64_t size, const void *data, int64_t number)
{
    struct table_value v = value_of(value);
    if (kind != v.kind || (v.kind == TABLE_INT && number != v.number))
        return false;
    return v.kind == TABLE_INT || (size == v.size && memcmp(data, v.data, size) == 0);
}

static inline struct table_key key_of(uint32_t key)
{
    static char bytes[MODEL_KEYS + 1][40];
    int size = snprintf(bytes[key], sizeof bytes[key], key % 3 ? "k%u" : "a longer key, it has a number: %u", key);
    return table_key(table, bytes[key], (uint64_t)size);
}

/* The model ---------------------------------------------------------------------------------------------------------- */

static inline uint32_t model_find(const struct model *m, uint32_t key)
{
    uint32_t i = 0;
    while (i < m->n && m->keys[i] != key)
        i++;
    return i;
}

static inline void model_splice(struct model *m, uint32_t at, uint32_t gone, uint32_t n, uint32_t value)
{
    at = at < m->n ? at : m->n;
    gone = gone < m->n - at ? gone : m->n - at;
    memmove(m->keys + at + n, m->keys + at + gone, (m->n - at - gone) * 4);
    memmove(m->values + at + n, m->values + at + gone, (m->n - at - gone) * 4);
    for (uint32_t i = 0; i < n; i++)
        m->values[at + i] = value + i;
    m->n = m->n - gone + n;
}

static inline void model_put(struct model *m, uint32_t key, uint32_t value)
{
    uint32_t i = model_find(m, key);
    m->keys[i] = key;
    m->values[i] = value;
    m->n += i == m->n;
}

static inline void model_dict(struct model *m, const struct doing *d)
{
    uint32_t i = model_find(m, d->key);
    bool there = i < m->n;
    switch ((int)d->what) {
    case SET:
        model_put(m, d->key, d->value);
        break;
    case DELETE:
    case POP:
        if (there)
            model_splice(m, i, 1, 0, 0);
        break;
    case POP_LAST:
        m->n -= m->n > 0;
        break;
    case DEFAULT:
        if (!there)
            model_put(m, d->key, d->value);
        break;
    case EXCHANGE: /* d->n is what is expected: what is there, or that there is none */
        if (there && d->n % 2)
            model_splice(m, i, 1, 0, 0);
        else
            model_put(m, d->key, d->value);
        break;
    case ADD:
        if (!there || m->values[i] % 6 == 0)
            model_put(m, d->key, there ? m->values[i] + 6 : 1002);
        break;
    default:
        m->n = 0;
    }
}

static inline void model_list(struct model *m, const struct doing *d)
{
    switch ((int)d->what) {
    case APPEND:
        model_splice(m, m->n, 0, 1, d->value);
        break;
    case EXTEND:
        model_splice(m, m->n, 0, d->n, d->value);
        break;
    case ASSIGN:
        if (d->key < m->n)
            m->values[d->key] = d->value;
        break;
    case TAKE:
        if (d->key < m->n)
            model_splice(m, d->key, 1, 0, 0);
        break;
    case TAKE_LAST:
        m->n -= m->n > 0;
        break;
    case SPLICE:
        model_splice(m, d->key, d->n, d->n / 2, d->value);
        break;
    default:
        for (uint32_t i = 0; i < m->n / 2; i++) {
            uint32_t other = m->values[i];
            m->values[i] = m->values[m->n - 1 - i];
            m->values[m->n - 1 - i] = other;
        }
    }
}

static inline void model_do(struct model *m, const struct doing *d) { (lists ? model_list : model_dict)(m, d); }

/* The table ---------------------------------------------------------------------------------------------------------- */

static inline void expect_taken(const struct model *m, uint32_t i, int rc, const struct table_room *room)
{
    EXPECT_EQ(rc, i < m->n);
    EXPECT(rc == 0 || value_is(m->values[i], room->kind, room->size, room->data, room->number));
}

/* Does it to the table, which is as the model, and expects the result that this has to give. */
static inline void table_do_dict(const struct model *m, const struct doing *d)
{
    static char bytes[VALUE_ROOM], name[64];
    struct table_key key = key_of(d->key);
    struct table_room room = {.data = bytes, .room = sizeof bytes}, last = {.data = name, .room = sizeof name};
    struct table_value v = value_of(d->value), old;
    static char old_bytes[VALUE_ROOM];
    uint32_t i = model_find(m, d->key);
    int64_t sum;
    switch ((int)d->what) {
    case SET:
        EXPECT_EQ(dict_set(table, &key, &v), i < m->n);
        break;
    case DELETE:
        EXPECT_EQ(dict_delete(table, &key), i < m->n);
        break;
    case POP:
        expect_taken(m, i, dict_pop(table, &key, &room), &room);
        break;
    case POP_LAST:
        expect_taken(m, m->n > 0 ? m->n - 1 : 0, dict_pop_last(table, &last, &room), &room);
        break;
    case DEFAULT:
        expect_taken(m, i, dict_set_default(table, &key, &v, &room), &room);
        break;
    case EXCHANGE:
        if (i < m->n) {
            old = value_of(m->values[i]);
            memcpy(old_bytes, value_bytes, sizeof old_bytes);
            old.data = old_bytes;
            v = value_of(d->value);
        }
        EXPECT_EQ(dict_compare_exchange(table, &key, i < m->n ? &old : NULL, i < m->n && d->n % 2 ? NULL : &v), 1);
        break;
    case ADD:
        EXPECT_EQ(dict_add(table, &key, i < m->n ? 6 : 2, &sum), i == m->n || m->values[i] % 6 == 0 ? 0 : -ERANGE);
        break;
    default:
        EXPECT_EQ(dict_clear(table), 0);
    }
}

static inline void values_of(struct table_value *values, uint32_t value, uint32_t n)
{
    static char bytes[8][VALUE_ROOM];
    for (uint32_t i = 0; i < n; i++) {
        values[i] = value_of(value + i);
        memcpy(bytes[i], value_bytes, VALUE_ROOM);
        values[i].data = bytes[i];
    }
}

static inline void table_do_list(const struct model *m, const struct doing *d)
{
    static char bytes[VALUE_ROOM];
    struct table_room room = {.data = bytes, .room = sizeof bytes};
    struct table_value values[8];
    values_of(values, d->value, d->n < 1 ? 1 : d->n);
    switch ((int)d->what) {
    case APPEND:
        EXPECT_EQ(list_append(table, values), 0);
        break;
    case EXTEND:
        EXPECT_EQ(list_extend(table, values, d->n), 0);
        break;
    case ASSIGN:
        EXPECT_EQ(list_set(table, d->key, values), d->key < m->n);
        break;
    case TAKE:
        expect_taken(m, d->key, list_pop(table, d->key, &room), &room);
        break;
    case TAKE_LAST:
        expect_taken(m, m->n > 0 ? m->n - 1 : 0, list_pop(table, -1, &room), &room);
        break;
    case SPLICE:
        EXPECT_EQ(list_splice(table, d->key, d->n, values, d->n / 2), 0);
        break;
    default:
        EXPECT_EQ(list_reverse(table), 0);
    }
}

static inline void table_do(const struct model *m, const struct doing *d)
{
    (lists ? table_do_list : table_do_dict)(m, d);
}

static inline bool key_is(uint32_t key, const struct table_value *v)
{
    struct table_key k = key_of(key);
    return v->size == k.size && memcmp(v->data, k.data, k.size) == 0;
}

/* Does a copy show just this? */
static inline bool copy_is(struct table_copy *c, const struct model *m)
{
    struct table_value v;
    c->at = 0;
    if (c->count != m->n)
        return false;
    for (uint32_t i = 0; i < m->n; i++) {
        if (!lists && (!copy_next(c, &v) || !key_is(m->keys[i], &v)))
            return false;
        if (!copy_next(c, &v) || !value_is(m->values[i], v.kind, v.size, v.data, v.number))
            return false;
    }
    return !copy_next(c, &v);
}

static inline int table_copy_all(struct table_copy *c)
{
    return lists ? list_copy(table, 0, INT64_MAX, c) : dict_copy(table, TABLE_KEYS | TABLE_VALUES, c);
}

static inline int64_t table_length(void) { return lists ? list_length(table) : dict_length(table); }

/* Is all that a reader sees what the model says? */
static inline bool table_is(const struct model *m)
{
    static struct table_copy copy;
    static char bytes[VALUE_ROOM];
    EXPECT_EQ(table_copy_all(&copy), 0);
    if (table_length() != m->n || !copy_is(&copy, m))
        return false;
    for (uint32_t key = 0; key < (lists ? m->n + 1 : MODEL_KEYS); key++) {
        struct table_room room = {.data = bytes, .room = sizeof bytes};
        struct table_key k = key_of(lists ? 0 : key);
        uint32_t i = lists ? key : model_find(m, key);
        int rc = lists ? list_get(table, key, &room) : dict_get(table, &k, &room);
        if (rc != (i < m->n) || (rc == 1 && !value_is(m->values[i], room.kind, room.size, bytes, room.number)))
            return false;
    }
    return true;
}

/* Blocks ------------------------------------------------------------------------------------------------------------- */

static inline uint64_t chain_length(shared32 *head, uint32_t class)
{
    uint64_t n = 0;
    for (uint32_t next = load_relaxed(head); next != 0; n++) {
        EXPECT(next <= load_relaxed(&table->header->top[class]));
        EXPECT(n < load_relaxed(&table->header->top[class]));
        next = (uint32_t)load_relaxed(table_about(table, class, next - 1));
    }
    return n;
}

/* No block is lost, or in two places: each is named once, or free. */
static inline void expect_sound(void)
{
    static struct table_copy copy;
    uint64_t named = 0, blocks = 0, idle = 0, used = 0;
    struct table_value v;
    EXPECT_EQ(table_copy_all(&copy), 0);
    while (copy_next(&copy, &v)) {
        named += v.kind != TABLE_INT;
        used += v.kind != TABLE_INT ? blocks_size(blocks_class(v.size)) : 0;
    }
    for (uint32_t class = 0; class < TABLE_CLASSES; class ++) {
        blocks += load_relaxed(&table->header->top[class]);
        idle += chain_length(&table->header->free[class], class) + chain_length(&table->header->bare[class], class);
    }
    EXPECT_EQ(named + idle, blocks);
    EXPECT_EQ(load_relaxed(&table->header->used), used);
    EXPECT_EQ(load_relaxed(&table->header->changing), 0);
    EXPECT(!table_broken(table));
}

/* What a killed process had for itself goes with it, but not in a harness that leaves it by longjmp(). */
#define KILLED_BY_JUMPS \
    const char *__asan_default_options(void); \
    const char *__asan_default_options(void) { return "detect_leaks=0"; }

/* Scripts ------------------------------------------------------------------------------------------------------------ */

static inline struct doing doing_by_chance(const struct model *m, uint32_t at)
{
    struct doing d = {.key = chance(MODEL_KEYS), .value = 1002 + chance(1000), .n = chance(6)};
    uint32_t r = chance(16);
    if (lists) {
        static const enum what some[] = {APPEND, APPEND, APPEND, EXTEND, EXTEND, ASSIGN,  ASSIGN,    TAKE,
                                         TAKE,   SPLICE, SPLICE, SPLICE, APPEND, REVERSE, TAKE_LAST, TAKE_LAST};
        d.what = some[r];
        if (d.what == ASSIGN && m->n > 0)
            d.key = chance(2) ? chance(m->n) : m->n - 1 - chance(m->n < 3 ? m->n : 3);
        if (m->n > MODEL_ROOM - 8)
            d = (struct doing){.what = SPLICE, .key = 1, .n = 6, .value = d.value};
    } else {
        static const enum what some[] = {SET, SET,    SET, SET, SET,      SET,     SET,      DELETE,
                                         POP, DELETE, SET, ADD, EXCHANGE, DEFAULT, POP_LAST, EXCHANGE};
        d.what = at % 40 == 39 ? CLEAR : some[r];
    }
    return d;
}

static inline struct table *table_new(struct family *f, bool list)
{
    struct table *one = calloc(1, sizeof *one);
    EXPECT(one != NULL);
    int64_t slot = handle_claim(f, SLOT_LARGE, list ? SLOT_LIST : SLOT_DICT);
    EXPECT(slot >= 0);
    EXPECT_EQ(table_open(f, (uint32_t)slot, one), 0);
    EXPECT_EQ(table_init(one, list ? TABLE_LIST : TABLE_DICT, DEATH_RAISE), 0);
    EXPECT_EQ(table_check(one, list ? TABLE_LIST : TABLE_DICT), 0);
    lists = list;
    return table = one;
}

static inline void table_end(struct family *f)
{
    uint32_t slot = table->slot;
    table_close(table);
    free(table);
    handle_remove(f, slot);
}

#endif
