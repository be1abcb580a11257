/* rowlog: a bag of rows that is read in the order of rows.
 *
 * listagg, fold and provenance must not depend on how partitions interleave, so they keep (order, payload) pairs as they
 * come and sort when they are read. State is a region of a blob; joining two logs is joining their bytes. Memory grows
 * with the rows, but no single value does: what exceeds ROWLOG_CHUNK moves to an entry of its own in another space, which
 * never changes again, and the log keeps a reference. So a commit writes what is new, not all there is. One thread. */
#ifndef ANANAS_ROWLOG_H
#define ANANAS_ROWLOG_H
#include "arena.h"
#include "batch.h"
#include "blob.h"

/* Where a row stands: event time, topic, partition, offset, number inside the record. */
typedef struct row_order {
    etime_t time;
    int64_t offset;
    int32_t topic, partition;
    uint32_t sub, spare;
} row_order_t;

static inline row_order_t row_order_of(const batch_t *b, uint32_t row) {
    const origin_t *o = batch_origin(b, row);
    return (row_order_t){o->time, o->offset, o->topic, o->partition, b->sub[row], 0};
}
int row_order_compare(const row_order_t *a, const row_order_t *b);

void rowlog_add(blob_t *b, size_t at, const row_order_t *order, const void *payload, size_t len);
void rowlog_merge(blob_t *b, size_t at, slice_t other);

#define ROWLOG_CHUNK 32768
typedef struct rowlog_chunks {
    space_t *space;
    uint64_t next; /* number of the next chunk; part of the owner's state */
} rowlog_chunks_t;
/* Moves the rows out of a log that is due for it: 1 when it was. */
int rowlog_spill(blob_t *b, size_t at, rowlog_chunks_t *chunks);
/* Deletes the chunks that a log refers to, with the log. */
void rowlog_drop(slice_t state, space_t *chunks);
/* The payloads in order (rows of equal order as they came), in the arena; they borrow from the state and its chunks
 * (which may be NULL where nothing was moved). */
uint32_t rowlog_read(slice_t state, space_t *chunks, arena_t *a, slice_t **payloads);
#endif
