/* arena: memory that is freed all at once.
 *
 * Holds what lives for one batch (cells, rows, copied strings). arena_reset keeps the blocks for the next batch, up to a
 * bound, so a steady stream allocates nothing. One thread at a time. */
#ifndef ANANAS_ARENA_H
#define ANANAS_ARENA_H
#include <stddef.h>

typedef struct arena {
    struct arena_block *head;  /* the block being filled */
    struct arena_block *spare; /* blocks kept by arena_reset */
    char *cur, *end;           /* free part of head */
    size_t used;               /* bytes handed out since the last reset */
} arena_t;

void arena_init(arena_t *a);
void arena_fini(arena_t *a);
void arena_reset(arena_t *a);
void *arena_alloc_slow(arena_t *a, size_t size);
void *arena_dup(arena_t *a, const void *p, size_t size);

/* 8-byte aligned, uninitialised, never NULL. */
static inline void *arena_alloc(arena_t *a, size_t size) {
    size = (size + 7 + !size) & ~(size_t)7; /* nothing has a place as well */
    if ((size_t)(a->end - a->cur) < size)
        return arena_alloc_slow(a, size);
    void *p = a->cur;
    a->cur += size;
    a->used += size;
    return p;
}
#define arena_array(a, type, n) ((type *)arena_alloc((a), sizeof(type) * (size_t)(n)))
#endif
