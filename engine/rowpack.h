/* rowpack: a row as self-contained bytes, for state that outlives its batch.
 *
 * A pack holds what makes a row: event time, position (topic by name, so that packs survive a configuration with other
 * topics), record key, and the columns a rule needs. Where a rule needs everything of an open batch's row, the record's
 * whole JSON value travels too. The provenance column (EXPLAIN_COLUMN) travels always. Owns nothing: packs live in the
 * caller's buf_t or store, batches read from them in the caller's arena. One thread. */
#ifndef ANANAS_ROWPACK_H
#define ANANAS_ROWPACK_H
#include "batch.h"
#include "rule.h"

/* Appends the pack of a row. needs == NULL or needs->at == NULL: all columns (and of an open batch the record's value).
 * topics: names by origin.topic. */
void rowpack_write(buf_t *b, const batch_t *rows, uint32_t row, const names_t *needs, const char *const *topics);

/* The packs as a batch of n rows, each with an origin of its own. Cells, keys and values borrow from the packs' bytes,
 * which must live as long as the batch. Columns: needs in its order (absent ones null), or with all needed the union of
 * the packs' names in order of first sight; then provenance where a pack has it. topics is NULL-terminated: a topic that
 * is no longer there becomes TOPIC_NONE. ticks: per row, NULL: 0. */
batch_t *rowpack_read(arena_t *a, const slice_t *packs, uint32_t n, const names_t *needs, const char *const *topics,
                      const uint32_t *ticks);

etime_t rowpack_time(slice_t pack); /* event time */

/* Rows of two batches as one: row i is row pick.row of `packed` or of `fresh`. Each has an origin of its own, which the
 * caller may change. Columns are united by name (those of packed first when any of its rows is picked); what one batch
 * lacks is looked up in its records or null. Cells are copied only when both are picked from. */
typedef struct row_pick {
    uint32_t row;
    int packed;
} row_pick_t;
batch_t *rowpack_merge(arena_t *a, const batch_t *fresh, const batch_t *packed, const row_pick_t *picks, uint32_t n,
                       origin_t **origins);
#endif
