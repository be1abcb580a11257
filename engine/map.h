/* map: byte string -> pointer, open addressing.
 *
 * Keys are borrowed: the caller keeps them alive (usually inside the value they lead to). Iteration order is arbitrary
 * and must never reach an output. One thread at a time. */
#ifndef ANANAS_MAP_H
#define ANANAS_MAP_H
#include <stddef.h>
#include <stdint.h>

typedef struct map_slot {
    const char *key; /* NULL: empty */
    uint32_t len, hash;
    void *value;
} map_slot_t;

typedef struct map {
    map_slot_t *slots;
    size_t cap, count; /* cap is 0 or a power of two */
} map_t;

void map_fini(map_t *m);
uint32_t map_hash(const void *key, size_t len);
void *map_get(const map_t *m, const void *key, size_t len); /* NULL: absent */
void *map_get_hashed(const map_t *m, const void *key, size_t len, uint32_t hash);
void *map_put(map_t *m, const void *key, size_t len, void *value); /* returns the value replaced, or NULL */
void *map_del(map_t *m, const void *key, size_t len);              /* returns the value removed, or NULL */
void map_clear(map_t *m);
/* for (map_slot_t *s = map_next(m, NULL); s; s = map_next(m, s)) ...; the map must not change meanwhile */
map_slot_t *map_next(const map_t *m, const map_slot_t *after);
#endif
