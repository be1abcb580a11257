#include "mem.h"
#include <malloc.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* Growth starts here, so that the many short lists do not crawl through sizes 1, 2, 4. */
#define FIRST_CAPACITY 8

static void die(size_t size) {
    fprintf(stderr, "ananas: out of memory (%zu bytes wanted)\n", size);
    abort();
}

#define KEEP_BUFFER (32 << 20) /* the most that glibc takes */
#define KEEP_FREE (64 << 20)
#define MOST_POOLS 8

/* Threads of clients come and go; each new one takes to a pool (glibc: an arena) of its own while there are few, and each
 * pool keeps what it once held. More pools than cores would serve nobody. */
static int pools(void) {
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    return cores < 1 ? 2 : cores < MOST_POOLS ? (int)cores + 1 : MOST_POOLS;
}

void mem_keep_buffers(void) {
    mallopt(M_ARENA_MAX, pools());
    mallopt(M_MMAP_THRESHOLD, KEEP_BUFFER);
    mallopt(M_TRIM_THRESHOLD, KEEP_FREE);
    mallopt(M_MXFAST, 0); /* lists of small chunks would be swept for every large one */
}

void mem_give_back(void) { malloc_trim(0); }

void *mem_map(size_t size) {
    void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED)
        die(size);
    return p;
}

void mem_unmap(void *p, size_t size) {
    if (p)
        munmap(p, size);
}

void *mem_alloc(size_t size) {
    void *p = malloc(size ? size : 1);
    if (!p)
        die(size);
    return p;
}

void *mem_zalloc(size_t size) {
    void *p = calloc(1, size ? size : 1);
    if (!p)
        die(size);
    return p;
}

void *mem_realloc(void *p, size_t size) {
    p = realloc(p, size ? size : 1);
    if (!p)
        die(size);
    return p;
}

void *mem_dup(const void *p, size_t size) {
    void *copy = mem_alloc(size);
    if (size)
        memcpy(copy, p, size);
    return copy;
}

char *mem_strdup(const char *s) { return mem_strndup(s, strlen(s)); }

char *mem_strndup(const char *s, size_t len) {
    char *copy = mem_alloc(len + 1);
    if (len)
        memcpy(copy, s, len);
    copy[len] = 0;
    return copy;
}

char *mem_printf(const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    char *s = NULL;
    int n = vasprintf(&s, fmt, ap);
    va_end(ap);
    if (n < 0)
        die(0);
    return s;
}

void mem_free(void *p) { free(p); }

void mem_grow(void *items_ptr, size_t *cap, size_t need, size_t size) {
    if (need <= *cap)
        return;
    size_t n = *cap ? *cap : FIRST_CAPACITY;
    while (n < need) {
        if (n > SIZE_MAX / 2)
            die(SIZE_MAX);
        n *= 2;
    }
    size_t bytes;
    if (__builtin_mul_overflow(n, size, &bytes))
        die(SIZE_MAX);
    void *items;
    memcpy(&items, items_ptr, sizeof items);
    items = mem_realloc(items, bytes);
    memcpy(items_ptr, &items, sizeof items);
    *cap = n;
}
