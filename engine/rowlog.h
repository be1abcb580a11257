/* rowlog: a bag of rows that is read in the order of rows.
 *
 * listagg, fold and provenance must not depend on how partitions interleave, so they keep (order, payload) pairs as they
 * come and sort when they are read. State is a region of a blob; joining two logs is joining their bytes. Memory grows
 * with the rows. One thread. */
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
/* The payloads in order (rows of equal order as they came), in the arena; they borrow from the state. */
uint32_t rowlog_read(slice_t state, arena_t *a, slice_t **payloads);
#endif
