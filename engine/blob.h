/* blob: one flat, relocatable value with a fixed part and regions that grow.
 *
 * The state of a group is such a value: counters at fixed offsets, then for each thing of variable size a region
 * {length, capacity, bytes}. The bytes live in a store entry or in a buf_t; growing a region may move all of them, so
 * pointers into a blob last until the next region_* call. Owns nothing. One thread. */
#ifndef ANANAS_BLOB_H
#define ANANAS_BLOB_H
#include "store.h"

typedef struct blob {
    char *s;
    size_t len;
    space_t *space; /* where the bytes live: a store entry, */
    store_entry_t *entry;
    buf_t *buf; /* or a buffer when entry is NULL */
} blob_t;

/* The bytes of an entry, for change. */
blob_t blob_of_entry(space_t *sp, store_entry_t *e);
blob_t blob_of_buf(buf_t *b);
/* Changes the length; new bytes are zero. */
void blob_resize(blob_t *b, size_t len);
/* A fresh value: `fixed` zero bytes and n empty regions. */
void blob_init(blob_t *b, size_t fixed, uint32_t n_regions);

#define BLOB_REGION 8 /* bytes of an empty region */
/* Where region k begins, counting from the end of the fixed part. */
size_t region_at(const char *s, size_t fixed, uint32_t k);
/* Do the bytes, from wherever they came, have that fixed part and so many regions and nothing beyond? */
int blob_holds(slice_t bytes, size_t fixed, uint32_t n_regions);
slice_t region_bytes(const char *s, size_t at);
/* Makes room for `more` bytes at the region's end, counts them as used and returns where they go. */
char *region_extend(blob_t *b, size_t at, size_t more);
void region_set(blob_t *b, size_t at, const void *bytes, size_t len);
/* Shortens or lengthens (new bytes undefined) and returns the region's bytes. */
char *region_resize(blob_t *b, size_t at, size_t len);
void region_trim(blob_t *b, size_t at); /* gives spare capacity back */
#endif
