#include "store.h"
#include "arena.h"
#include "hash.h"
#include "mem.h"
#include <stdlib.h>
#include <sys/random.h>

/* Invariants.
 * - An entry's address is stable from store_put until the commit after its deletion (or the abort after its making).
 * - entry.epoch == store.epoch exactly when the entry stands in store.undo. Epochs start at 1; 0 is "never touched".
 * - A deleted entry stays in its table, dead, until the commit or abort: store_put revives it in place, so a key has one
 *   undo record per epoch, and its preimage is that of the epoch's start. */

enum { ENTRY_DEAD = 1, ENTRY_MADE = 2 /* in this epoch: no preimage; meaningful while epoch is the store's */ };

struct store_entry {
    char *value; /* in data[] or, when it grew beyond, a block of its own */
    void *tag;
    uint32_t hash, key_len;
    uint32_t len, cap; /* of value */
    uint32_t epoch;
    uint32_t flags;
    char data[]; /* the key, then, 8-byte aligned, the first room for the value */
};

typedef struct slot {
    uint32_t hash, key_len; /* repeated here: most wrong slots are passed without touching the entry */
    store_entry_t *entry;
} slot_t;

struct space {
    store_t *store;
    char *name;
    slot_t *slots;    /* linear probing; cap is 0 or a power of two */
    size_t cap, used; /* used counts the dead as well */
    size_t live, bytes;
    size_t n_dirty, dirty_at; /* while store_dirty sorts */
    uint32_t usual_len;       /* of values in this space: new entries have room for as much */
    int dropped;
};

typedef struct undo {
    space_t *space;
    store_entry_t *entry;
    const char *before; /* the value at the start of the epoch */
    uint32_t len;
    int existed;
} undo_t;

struct store {
    space_t **spaces; /* sorted by name */
    size_t n_spaces, cap_spaces;
    size_t max_bytes, bytes, count;
    uint32_t epoch;
    uint64_t seed; /* keys come from strangers */
    undo_t *undo;
    size_t n_undo, cap_undo;
    size_t n_unwritten; /* of those: made and deleted in this epoch, nothing to write */
    arena_t preimages;
};

#define FIRST_SLOTS 16
#define INLINE_LEAST 16
#define INLINE_MOST 256
/* What an entry costs beside its bytes: its slot at the usual load, and the allocator's own. */
#define ENTRY_OVERHEAD (sizeof(store_entry_t) + 32)

static size_t key_room(size_t key_len) { return (key_len + 7) & ~(size_t)7; }

static char *inline_value(store_entry_t *e) { return e->data + key_room(e->key_len); }

static size_t entry_bytes(const store_entry_t *e) { return ENTRY_OVERHEAD + key_room(e->key_len) + e->cap; }

static void account(space_t *sp, store_entry_t *e, int alive) {
    size_t bytes = entry_bytes(e), one = 1;
    if (!alive) {
        bytes = 0 - bytes;
        one = 0 - one;
    }
    sp->bytes += bytes;
    sp->store->bytes += bytes;
    sp->live += one;
    sp->store->count += one;
}

static void free_entry(store_entry_t *e) {
    if (e->value != inline_value(e))
        mem_free(e->value);
    mem_free(e);
}

/* --- the table of a space --- */

static int same_key(const store_entry_t *e, const void *key, size_t len) { return memcmp(e->data, key, len) == 0; }

/* Index of the key's slot, or of the empty slot where it would go. The table is never full. */
static size_t find_slot(const space_t *sp, const void *key, size_t len, uint32_t hash) {
    size_t mask = sp->cap - 1;
    for (size_t i = hash & mask;; i = (i + 1) & mask) {
        const slot_t *s = &sp->slots[i];
        if (!s->entry || (s->hash == hash && s->key_len == len && same_key(s->entry, key, len)))
            return i;
    }
}

static size_t slot_of(const space_t *sp, const store_entry_t *e) {
    size_t mask = sp->cap - 1, i = e->hash & mask;
    while (sp->slots[i].entry != e)
        i = (i + 1) & mask;
    return i;
}

static void resize_table(space_t *sp, size_t cap) {
    slot_t *old = sp->slots;
    size_t old_cap = sp->cap, mask = cap - 1;
    sp->slots = mem_zalloc(cap * sizeof *sp->slots);
    sp->cap = cap;
    for (size_t i = 0; i < old_cap; i++) {
        if (!old[i].entry)
            continue;
        size_t at = old[i].hash & mask;
        while (sp->slots[at].entry)
            at = (at + 1) & mask;
        sp->slots[at] = old[i];
    }
    mem_free(old);
}

/* Out of the table and freed. Later members of the probe run move up into the hole where their home allows it. */
static void remove_entry(space_t *sp, store_entry_t *e) {
    size_t mask = sp->cap - 1, hole = slot_of(sp, e);
    for (size_t i = (hole + 1) & mask; sp->slots[i].entry; i = (i + 1) & mask) {
        size_t home = sp->slots[i].hash & mask;
        if (((i - home) & mask) < ((i - hole) & mask))
            continue;
        sp->slots[hole] = sp->slots[i];
        hole = i;
    }
    sp->slots[hole] = (slot_t){0};
    sp->used--;
    free_entry(e);
}

static uint32_t hash_key(const space_t *sp, const void *key, size_t len) {
    return (uint32_t)hash_bytes(key, len, sp->store->seed);
}

static store_entry_t *insert(space_t *sp, size_t at, const void *key, size_t len, uint32_t hash, uint32_t room) {
    store_entry_t *e = mem_alloc(sizeof *e + key_room(len) + room);
    *e = (store_entry_t){.hash = hash, .key_len = (uint32_t)len, .cap = room};
    if (len)
        memcpy(e->data, key, len);
    e->value = inline_value(e);
    sp->slots[at] = (slot_t){hash, (uint32_t)len, e};
    sp->used++;
    return e;
}

static uint32_t room_for(uint32_t len) {
    len = (len + 7) & ~7u;
    return len < INLINE_LEAST ? INLINE_LEAST : len > INLINE_MOST ? INLINE_MOST : len;
}

/* --- undo --- */

static void remember(space_t *sp, store_entry_t *e, int existed) {
    store_t *s = sp->store;
    if (s->n_undo == s->cap_undo)
        mem_grow(&s->undo, &s->cap_undo, s->n_undo + 1, sizeof *s->undo);
    undo_t *u = &s->undo[s->n_undo++];
    *u = (undo_t){.space = sp, .entry = e, .existed = existed};
    if (existed) {
        u->len = e->len;
        u->before = arena_dup(&s->preimages, e->value, e->len);
    }
    e->epoch = s->epoch;
    e->flags = (e->flags & ~(uint32_t)ENTRY_MADE) | (existed ? 0 : ENTRY_MADE);
}

static inline void touch(space_t *sp, store_entry_t *e) {
    if (e->epoch != sp->store->epoch)
        remember(sp, e, 1);
}

static void reserve(space_t *sp, store_entry_t *e, size_t len) {
    if (len <= e->cap)
        return;
    size_t cap = len + len / 2;
    if (cap > UINT32_MAX - 8)
        abort();
    int own_block = e->value != inline_value(e);
    char *value = own_block ? mem_realloc(e->value, cap) : mem_alloc(cap);
    if (!own_block && e->len)
        memcpy(value, e->value, e->len);
    e->value = value;
    sp->bytes += cap - e->cap;
    sp->store->bytes += cap - e->cap;
    e->cap = (uint32_t)cap;
}

/* --- store and spaces --- */

store_t *store_new(size_t max_bytes) {
    store_t *s = mem_zalloc(sizeof *s);
    s->max_bytes = max_bytes;
    s->epoch = 1;
    if (getrandom(&s->seed, sizeof s->seed, 0) != (ssize_t)sizeof s->seed)
        s->seed = (uint64_t)(uintptr_t)s;
    arena_init(&s->preimages);
    return s;
}

static void free_space(space_t *sp) {
    for (size_t i = 0; i < sp->cap; i++)
        if (sp->slots[i].entry)
            free_entry(sp->slots[i].entry);
    mem_free(sp->slots);
    mem_free(sp->name);
    mem_free(sp);
}

void store_free(store_t *s) {
    if (!s)
        return;
    for (size_t i = 0; i < s->n_spaces; i++)
        free_space(s->spaces[i]);
    mem_free(s->spaces);
    mem_free(s->undo);
    arena_fini(&s->preimages);
    mem_free(s);
}

/* Where that name stands, or would stand. */
static size_t space_position(const store_t *s, const char *name) {
    size_t low = 0, high = s->n_spaces;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (strcmp(s->spaces[middle]->name, name) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

space_t *store_space(store_t *s, const char *name) {
    size_t at = space_position(s, name);
    if (at < s->n_spaces && strcmp(s->spaces[at]->name, name) == 0) {
        s->spaces[at]->dropped = 0;
        return s->spaces[at];
    }
    mem_grow(&s->spaces, &s->cap_spaces, s->n_spaces + 1, sizeof(void *));
    memmove(s->spaces + at + 1, s->spaces + at, (s->n_spaces - at) * sizeof(void *));
    space_t *sp = mem_zalloc(sizeof *sp);
    sp->store = s;
    sp->name = mem_strdup(name);
    s->spaces[at] = sp;
    s->n_spaces++;
    return sp;
}

const char *space_name(const space_t *sp) { return sp->name; }

size_t space_count(const space_t *sp) { return sp->live; }

size_t space_bytes(const space_t *sp) { return sp->bytes; }

void store_drop_space(store_t *s, space_t *sp) {
    (void)s;
    for (size_t i = 0; i < sp->cap; i++)
        if (sp->slots[i].entry && !(sp->slots[i].entry->flags & ENTRY_DEAD))
            store_del(sp, sp->slots[i].entry);
    sp->dropped = 1;
}

space_t *store_next_space(store_t *s, space_t *after) {
    size_t at = after ? space_position(s, after->name) + 1 : 0;
    while (at < s->n_spaces && s->spaces[at]->dropped)
        at++;
    return at < s->n_spaces ? s->spaces[at] : NULL;
}

/* --- entries --- */

store_entry_t *store_get(space_t *sp, const void *key, size_t len) {
    if (sp->live == 0)
        return NULL;
    store_entry_t *e = sp->slots[find_slot(sp, key, len, hash_key(sp, key, len))].entry;
    return e && !(e->flags & ENTRY_DEAD) ? e : NULL;
}

/* A dead entry comes back empty, as if new. It was touched when it died, so its preimage is safe. */
static void revive(space_t *sp, store_entry_t *e) {
    e->flags &= ~(uint32_t)ENTRY_DEAD;
    e->len = 0;
    e->tag = NULL;
    if (e->flags & ENTRY_MADE)
        sp->store->n_unwritten--;
    account(sp, e, 1);
}

static store_entry_t *make(space_t *sp, const void *key, size_t len, uint32_t hash) {
    if ((sp->used + 1) * 4 > sp->cap * 3)
        resize_table(sp, sp->cap ? sp->cap * 2 : FIRST_SLOTS);
    store_entry_t *e = insert(sp, find_slot(sp, key, len, hash), key, len, hash, room_for(sp->usual_len));
    account(sp, e, 1);
    return e;
}

store_entry_t *store_put(space_t *sp, const void *key, size_t len, int *is_new) {
    uint32_t hash = hash_key(sp, key, len);
    store_entry_t *e = sp->cap ? sp->slots[find_slot(sp, key, len, hash)].entry : NULL;
    int found = e && !(e->flags & ENTRY_DEAD);
    if (is_new)
        *is_new = !found;
    if (found)
        return e;
    if (e) {
        revive(sp, e);
        return e;
    }
    e = make(sp, key, len, hash);
    remember(sp, e, 0);
    return e;
}

void store_del(space_t *sp, store_entry_t *e) {
    if (e->flags & ENTRY_DEAD)
        return;
    touch(sp, e);
    account(sp, e, 0);
    e->flags |= ENTRY_DEAD;
    if (e->flags & ENTRY_MADE)
        sp->store->n_unwritten++;
}

slice_t entry_key(const store_entry_t *e) { return (slice_t){e->data, e->key_len}; }

slice_t entry_value(const store_entry_t *e) { return (slice_t){e->value, e->len}; }

char *entry_edit(space_t *sp, store_entry_t *e) {
    touch(sp, e);
    return e->value;
}

char *entry_resize(space_t *sp, store_entry_t *e, size_t len) {
    touch(sp, e);
    reserve(sp, e, len);
    if (len > e->len)
        memset(e->value + e->len, 0, len - e->len);
    e->len = (uint32_t)len;
    sp->usual_len = (uint32_t)len;
    return e->value;
}

void entry_set(space_t *sp, store_entry_t *e, const void *value, size_t len) {
    touch(sp, e);
    reserve(sp, e, len);
    if (len)
        memmove(e->value, value, len);
    e->len = (uint32_t)len;
    sp->usual_len = (uint32_t)len;
}

void entry_set_tag(store_entry_t *e, void *tag) { e->tag = tag; }

void *entry_tag(const store_entry_t *e) { return e->tag; }

void store_forget_tags(store_t *s) {
    for (size_t i = 0; i < s->n_spaces; i++)
        for (store_entry_t *e = space_next(s->spaces[i], NULL); e; e = space_next(s->spaces[i], e))
            e->tag = NULL;
}

store_entry_t *space_next(space_t *sp, store_entry_t *after) {
    for (size_t i = after ? slot_of(sp, after) + 1 : 0; i < sp->cap; i++) {
        store_entry_t *e = sp->slots[i].entry;
        if (e && !(e->flags & ENTRY_DEAD))
            return e;
    }
    return NULL;
}

/* --- order --- */

static int compare_keys(const store_entry_t *a, const store_entry_t *b) {
    size_t n = a->key_len < b->key_len ? a->key_len : b->key_len;
    int c = memcmp(a->data, b->data, n);
    return c ? c : (a->key_len > b->key_len) - (a->key_len < b->key_len);
}

/* Keys of a space begin alike (ranks, shared group columns): the eight bytes behind what they share decide most
 * comparisons without looking at the entries. */
typedef struct sort_item {
    uint64_t prefix;
    store_entry_t *entry;
} sort_item_t;

static int compare_items(const void *a, const void *b) {
    const sort_item_t *x = a, *y = b;
    if (x->prefix != y->prefix)
        return x->prefix < y->prefix ? -1 : 1;
    return compare_keys(x->entry, y->entry);
}

static size_t shared_length(store_entry_t *const *entries, size_t n) {
    const store_entry_t *first = entries[0];
    size_t shared = first->key_len;
    for (size_t i = 1; i < n && shared > 0; i++) {
        const store_entry_t *e = entries[i];
        if (e->key_len < shared)
            shared = e->key_len;
        if (memcmp(first->data, e->data, shared) == 0)
            continue;
        for (size_t k = 0; k < shared; k++)
            if (first->data[k] != e->data[k])
                shared = k;
    }
    return shared;
}

/* Zero-padded: a key that ends in the prefix is equal to others there at worst, never greater. */
static uint64_t prefix_at(const store_entry_t *e, size_t at) {
    uint64_t v = 0;
    size_t n = e->key_len - at < 8 ? e->key_len - at : 8;
    memcpy(&v, e->data + at, n);
    return __builtin_bswap64(v);
}

static void sort_entries(store_entry_t **entries, size_t n) {
    if (n < 2)
        return;
    size_t shared = shared_length(entries, n);
    sort_item_t *items = mem_alloc(n * sizeof *items);
    for (size_t i = 0; i < n; i++)
        items[i] = (sort_item_t){prefix_at(entries[i], shared), entries[i]};
    qsort(items, n, sizeof *items, compare_items);
    for (size_t i = 0; i < n; i++)
        entries[i] = items[i].entry;
    mem_free(items);
}

size_t space_sorted(space_t *sp, store_entry_t ***out) {
    size_t n = 0;
    *out = mem_alloc(sp->live * sizeof(void *));
    for (size_t i = 0; i < sp->cap; i++) {
        store_entry_t *e = sp->slots[i].entry;
        if (e && !(e->flags & ENTRY_DEAD))
            (*out)[n++] = e;
    }
    sort_entries(*out, n);
    return n;
}

/* --- commit and abort --- */

static int is_unwritten(const undo_t *u) { return (u->entry->flags & ENTRY_DEAD) && !u->existed; }

static int write_space(const space_t *sp, store_entry_t *const *entries, size_t n, store_dirty_fn fn, void *ctx) {
    int status = 0;
    for (size_t i = 0; i < n && status == 0; i++) {
        slice_t value = entries[i]->flags & ENTRY_DEAD ? (slice_t){NULL, 0} : entry_value(entries[i]);
        status = fn(ctx, sp->name, entry_key(entries[i]), value);
    }
    return status;
}

int store_dirty(store_t *s, store_dirty_fn fn, void *ctx) {
    store_entry_t **entries = mem_alloc(s->n_undo * sizeof(void *));
    size_t at = 0;
    for (size_t i = 0; i < s->n_spaces; i++)
        s->spaces[i]->n_dirty = 0;
    for (size_t i = 0; i < s->n_undo; i++)
        s->undo[i].space->n_dirty += !is_unwritten(&s->undo[i]);
    for (size_t i = 0; i < s->n_spaces; i++) {
        s->spaces[i]->dirty_at = at;
        at += s->spaces[i]->n_dirty;
    }
    for (size_t i = 0; i < s->n_undo; i++)
        if (!is_unwritten(&s->undo[i]))
            entries[s->undo[i].space->dirty_at++] = s->undo[i].entry;
    int status = 0;
    for (size_t i = 0; i < s->n_spaces && status == 0; i++) {
        const space_t *sp = s->spaces[i];
        store_entry_t **mine = entries + (sp->dirty_at - sp->n_dirty);
        sort_entries(mine, sp->n_dirty);
        status = write_space(sp, mine, sp->n_dirty, fn, ctx);
    }
    mem_free(entries);
    return status;
}

size_t store_dirty_count(const store_t *s) { return s->n_undo - s->n_unwritten; }

static void end_epoch(store_t *s) {
    s->n_undo = s->n_unwritten = 0;
    s->epoch++;
    arena_reset(&s->preimages);
}

/* Spaces that were dropped go, tables that emptied shrink: a burst must not make every later walk long. */
static void tidy_spaces(store_t *s) {
    size_t kept = 0;
    for (size_t i = 0; i < s->n_spaces; i++) {
        space_t *sp = s->spaces[i];
        if (sp->dropped && sp->used == 0) {
            free_space(sp);
            continue;
        }
        if (sp->cap > FIRST_SLOTS && sp->used * 16 < sp->cap)
            resize_table(sp, sp->cap / 4);
        s->spaces[kept++] = sp;
    }
    s->n_spaces = kept;
}

void store_commit(store_t *s) {
    for (size_t i = 0; i < s->n_undo; i++)
        if (s->undo[i].entry->flags & ENTRY_DEAD)
            remove_entry(s->undo[i].space, s->undo[i].entry);
    end_epoch(s);
    tidy_spaces(s);
}

static void undo_one(const undo_t *u) {
    space_t *sp = u->space;
    store_entry_t *e = u->entry;
    int dead = (e->flags & ENTRY_DEAD) != 0;
    sp->dropped = 0;
    if (!u->existed) {
        if (!dead)
            account(sp, e, 0);
        remove_entry(sp, e);
        return;
    }
    if (dead)
        account(sp, e, 1);
    e->flags = 0;
    e->tag = NULL;
    if (u->len)
        memcpy(e->value, u->before, u->len); /* capacity never shrinks, so it fits */
    e->len = u->len;
}

void store_abort(store_t *s) {
    for (size_t i = s->n_undo; i > 0; i--)
        undo_one(&s->undo[i - 1]);
    for (size_t i = 0; i < s->n_spaces; i++)
        s->spaces[i]->dropped = 0;
    end_epoch(s);
}

void store_restore(store_t *s, const char *space, slice_t key, slice_t value) {
    space_t *sp = store_space(s, space);
    store_entry_t *e = store_get(sp, key.s, key.len);
    if (!value.s) {
        if (e && e->epoch == s->epoch) {
            store_del(sp, e); /* somebody holds its preimage: the next commit removes it */
        } else if (e) {
            account(sp, e, 0);
            remove_entry(sp, e);
        }
        return;
    }
    sp->usual_len = (uint32_t)value.len;
    if (!e) {
        uint32_t hash = hash_key(sp, key.s, key.len);
        e = sp->cap ? sp->slots[find_slot(sp, key.s, key.len, hash)].entry : NULL;
        if (e)
            revive(sp, e);
        else
            e = make(sp, key.s, key.len, hash);
    }
    reserve(sp, e, value.len);
    if (value.len)
        memcpy(e->value, value.s, value.len);
    e->len = (uint32_t)value.len;
}

size_t store_bytes(const store_t *s) { return s->bytes; }

size_t store_count(const store_t *s) { return s->count; }

int store_full(const store_t *s) { return s->max_bytes && s->bytes >= s->max_bytes; }
