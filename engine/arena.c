#include "arena.h"
#include "mem.h"
#include <string.h>

#define BLOCK_BYTES (256u * 1024)
/* What arena_reset keeps; one batch of unusual size must not hold its memory for ever. */
#define KEEP_BYTES (16u * 1024 * 1024)

typedef struct arena_block {
    struct arena_block *next;
    size_t size; /* bytes after this header */
} arena_block_t;

static char *block_bytes(arena_block_t *b) { return (char *)(b + 1); }

static void use_block(arena_t *a, arena_block_t *b) {
    b->next = a->head;
    a->head = b;
    a->cur = block_bytes(b);
    a->end = a->cur + b->size;
}

static void free_list(arena_block_t *b) {
    while (b) {
        arena_block_t *next = b->next;
        mem_free(b);
        b = next;
    }
}

void arena_init(arena_t *a) { memset(a, 0, sizeof *a); }

void arena_fini(arena_t *a) {
    free_list(a->head);
    free_list(a->spare);
    memset(a, 0, sizeof *a);
}

void arena_reset(arena_t *a) {
    size_t kept = 0;
    for (arena_block_t *b = a->spare; b; b = b->next)
        kept += b->size;
    for (arena_block_t *b = a->head, *next; b; b = next) {
        next = b->next;
        if (kept + b->size > KEEP_BYTES) {
            mem_free(b);
            continue;
        }
        kept += b->size;
        b->next = a->spare;
        a->spare = b;
    }
    a->head = NULL;
    a->cur = a->end = NULL;
    a->used = 0;
}

/* The first spare block that is large enough, unlinked. */
static arena_block_t *take_spare(arena_t *a, size_t size) {
    for (arena_block_t **at = &a->spare; *at; at = &(*at)->next) {
        arena_block_t *b = *at;
        if (b->size >= size) {
            *at = b->next;
            return b;
        }
    }
    return NULL;
}

void *arena_alloc_slow(arena_t *a, size_t size) {
    arena_block_t *b = take_spare(a, size);
    if (!b) {
        size_t bytes = size > BLOCK_BYTES ? size : BLOCK_BYTES;
        b = mem_alloc(sizeof *b + bytes);
        b->size = bytes;
    }
    use_block(a, b);
    void *p = a->cur;
    a->cur += size;
    a->used += size;
    return p;
}

void *arena_dup(arena_t *a, const void *p, size_t size) {
    void *copy = arena_alloc(a, size);
    if (size)
        memcpy(copy, p, size);
    return copy;
}
