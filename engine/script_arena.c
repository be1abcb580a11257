#include "script_arena.h"
#include "error.h"
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

#define SMALL_MAX 1024 /* up to here classes are 16 bytes apart, beyond it four to a doubling */
#define SMALL_CLASSES 64
#define GIVE_BACK 262144 /* freed blocks of this size return their pages */
#define PAGE 4096

/* Class and rounded size of a request. Small: (n + 15) / 16. Large: quarters between powers of two. */
static unsigned class_of(size_t n, size_t *rounded) {
    if (n <= SMALL_MAX) {
        unsigned c = (unsigned)((n + 15) >> 4);
        *rounded = (size_t)c << 4;
        return c;
    }
    unsigned top = 63 - (unsigned)__builtin_clzl(n - 1);
    unsigned shift = top - 2;
    size_t r = ((n - 1) >> shift) + 1;
    *rounded = r << shift;
    unsigned c = SMALL_CLASSES + (top - 10) * 4 + (unsigned)(r - 4);
    return c < SCRIPT_ARENA_CLASSES ? c : 0;
}

int script_arena_init(script_arena_t *a, size_t limit) {
    memset(a, 0, sizeof *a);
    a->limit = limit;
    /* Address space costs nothing; where the system counts it all the same, less has to do. */
    for (size_t factor = 4; factor >= 1; factor /= 2) {
        size_t size = (limit * factor + 2 * PAGE - 1) & ~(size_t)(PAGE - 1);
        void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (p == MAP_FAILED)
            continue;
        a->base = a->cur = p;
        a->end = a->base + size;
        return 0;
    }
    return ERR_LIMIT;
}

void script_arena_fini(script_arena_t *a) {
    if (a->base)
        munmap(a->base, (size_t)(a->end - a->base));
    memset(a, 0, sizeof *a);
}

static void release(script_arena_t *a, void *p, size_t old) {
    size_t size;
    unsigned c = class_of(old, &size);
    a->used -= size;
    if (size >= GIVE_BACK) {
        /* The link stays in the first page. */
        size_t skip = PAGE - ((uintptr_t)p & (PAGE - 1));
        if (skip < sizeof(void *))
            skip += PAGE;
        madvise((char *)p + skip, (size - skip) & ~(size_t)(PAGE - 1), MADV_DONTNEED);
    }
    memcpy(p, &a->free[c], sizeof(void *));
    a->free[c] = p;
}

static void *obtain(script_arena_t *a, unsigned c, size_t size) {
    void *p = a->free[c];
    if (p) {
        memcpy(&a->free[c], p, sizeof(void *));
    } else {
        if ((size_t)(a->end - a->cur) < size)
            return NULL;
        p = a->cur;
        a->cur += size;
    }
    a->used += size;
    return p;
}

void *script_arena_resize(script_arena_t *a, void *p, size_t old, size_t size) {
    if (!p)
        old = 0;
    if (size == 0) {
        if (old)
            release(a, p, old);
        return NULL;
    }
    size_t want, have = 0;
    unsigned c = class_of(size, &want);
    if (old) {
        class_of(old, &have);
        if (want == have)
            return p;
    }
    if (c == 0 || (want > have && a->used + (want - have) > a->limit))
        return NULL;
    void *q = obtain(a, c, want);
    if (!q)
        return size < old ? p : NULL;
    if (old) {
        memcpy(q, p, old < size ? old : size);
        release(a, p, old);
    }
    return q;
}
