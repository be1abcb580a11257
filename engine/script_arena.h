/* script_arena: the private memory of one lua_State.
 *
 * One reserved mapping, filled from its start, with a free list for each size class. Nothing of it is known to malloc, so
 * the whole of a state can be thrown away at any instant, even in the middle of an allocation, with one munmap. Bytes in
 * use are bounded by the limit; the reservation is larger, because freed blocks are kept by class. Pages of large freed
 * blocks go back to the system. Used by one thread at a time; whoever called script_arena_init calls script_arena_fini. */
#ifndef ANANAS_SCRIPT_ARENA_H
#define ANANAS_SCRIPT_ARENA_H
#include <stddef.h>

#define SCRIPT_ARENA_CLASSES 176

typedef struct script_arena {
    char *base, *cur, *end;
    size_t used, limit;
    void *free[SCRIPT_ARENA_CLASSES];
} script_arena_t;

/* 0, or ERR_LIMIT where the system does not give that much address space. */
int script_arena_init(script_arena_t *a, size_t limit);
void script_arena_fini(script_arena_t *a);
/* As realloc with the old size given; size 0 frees. NULL when the limit is reached: p is untouched then. A block never
 * fails to shrink. */
void *script_arena_resize(script_arena_t *a, void *p, size_t old, size_t size);
#endif
