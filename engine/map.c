#include "map.h"
#include "hash.h"
#include "mem.h"
#include <string.h>

#define FIRST_CAPACITY 16

void map_fini(map_t *m) {
    mem_free(m->slots);
    *m = (map_t){0};
}

uint32_t map_hash(const void *key, size_t len) { return (uint32_t)hash_bytes(key, len, 0); }

/* The slot of the key, or the empty slot where it would go. */
static map_slot_t *find(const map_t *m, const void *key, size_t len, uint32_t hash) {
    size_t mask = m->cap - 1;
    for (size_t i = hash & mask;; i = (i + 1) & mask) {
        map_slot_t *s = &m->slots[i];
        if (!s->key || (s->hash == hash && s->len == len && memcmp(s->key, key, len) == 0))
            return s;
    }
}

void *map_get_hashed(const map_t *m, const void *key, size_t len, uint32_t hash) {
    if (m->count == 0)
        return NULL;
    map_slot_t *s = find(m, key, len, hash);
    return s->key ? s->value : NULL;
}

void *map_get(const map_t *m, const void *key, size_t len) {
    return m->count ? map_get_hashed(m, key, len, map_hash(key, len)) : NULL;
}

static void grow(map_t *m) {
    map_slot_t *old = m->slots;
    size_t old_cap = m->cap;
    m->cap = old_cap ? old_cap * 2 : FIRST_CAPACITY;
    m->slots = mem_zalloc(m->cap * sizeof *m->slots);
    for (size_t i = 0; i < old_cap; i++)
        if (old[i].key)
            *find(m, old[i].key, old[i].len, old[i].hash) = old[i];
    mem_free(old);
}

void *map_put(map_t *m, const void *key, size_t len, void *value) {
    if ((m->count + 1) * 4 > m->cap * 3)
        grow(m);
    uint32_t hash = map_hash(key, len);
    map_slot_t *s = find(m, key, len, hash);
    void *old = s->key ? s->value : NULL;
    if (!s->key)
        m->count++;
    /* The key is replaced too: it usually lives inside the value. */
    *s = (map_slot_t){key ? (const char *)key : "", (uint32_t)len, hash, value};
    return old;
}

/* Linear probing without tombstones: later members of the run move up into the hole when their home allows it. */
static void close_hole(map_t *m, size_t hole) {
    size_t mask = m->cap - 1;
    for (size_t i = (hole + 1) & mask; m->slots[i].key; i = (i + 1) & mask) {
        size_t home = m->slots[i].hash & mask;
        if (((i - home) & mask) < ((i - hole) & mask))
            continue;
        m->slots[hole] = m->slots[i];
        hole = i;
    }
    m->slots[hole] = (map_slot_t){0};
}

void *map_del(map_t *m, const void *key, size_t len) {
    if (m->count == 0)
        return NULL;
    map_slot_t *s = find(m, key, len, map_hash(key, len));
    if (!s->key)
        return NULL;
    void *old = s->value;
    m->count--;
    close_hole(m, (size_t)(s - m->slots));
    return old;
}

void map_clear(map_t *m) {
    if (m->count)
        memset(m->slots, 0, m->cap * sizeof *m->slots);
    m->count = 0;
}

map_slot_t *map_next(const map_t *m, const map_slot_t *after) {
    for (size_t i = after ? (size_t)(after - m->slots) + 1 : 0; i < m->cap; i++)
        if (m->slots[i].key)
            return &m->slots[i];
    return NULL;
}
