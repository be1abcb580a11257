/* mem: memory that is always there.
 *
 * Allocation never returns NULL: a process that cannot get memory for its own bookkeeping cannot keep its guarantees, so
 * it says so and aborts; state is in Kafka. Limits on what users may make it hold are checked above (store, script).
 * Any thread. What mem_* returned is freed with mem_free. */
#ifndef ANANAS_MEM_H
#define ANANAS_MEM_H
#include <stddef.h>
#include <stdint.h>

#define MEM_LINE 64 /* bytes that a cache moves together */

void *mem_alloc(size_t size);  /* uninitialised */
void *mem_zalloc(size_t size); /* zeroed */
void *mem_realloc(void *p, size_t size);
void *mem_dup(const void *p, size_t size);
char *mem_strdup(const char *s);
char *mem_strndup(const char *s, size_t len); /* adds the final NUL */
char *mem_printf(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void mem_free(void *p);

/* Zeroed pages of their own, which cost nothing before they are touched; for large tables of which little is used. */
void *mem_map(size_t size);
void mem_unmap(void *p, size_t size); /* p may be NULL */

/* For a process through which large buffers stream: the allocator reuses them instead of giving them back to the kernel,
 * which would hand over zeroed pages for every one. Once, at the beginning. */
void mem_keep_buffers(void);
/* Gives back what is kept like that and not in use; takes milliseconds, and who allocates meanwhile waits. */
void mem_give_back(void);

/* Has the lines of [at, at + len) brought nearer for use soon. Nothing is read: any address will do. */
static inline void mem_prefetch(uintptr_t at, size_t len) {
    for (uintptr_t line = at & ~(uintptr_t)(MEM_LINE - 1); line < at + len; line += MEM_LINE)
        __builtin_prefetch((const void *)line);
}

/* Grows *items (elements of `size` bytes) to hold at least `need`, doubling; *cap is in elements. */
void mem_grow(void *items_ptr, size_t *cap, size_t need, size_t size);
#endif
