/* aggregate: what a group remembers of its rows, and what it says of them.
 *
 * State is one blob (engine/blob.h): counters and sums at fixed offsets, a region for each aggregate of variable size.
 * It is incremental, mergeable (for sessions that join), relocatable, and complete: what is stored is all there is.
 * As in SQL, null is no value: count(x) leaves out null and false, the others leave out null and give null over nothing
 * (count and count_distinct give 0). Minima, maxima, first and last keep the spelling of their value. first, last,
 * listagg and fold read rows in (event time, topic, partition, offset, number inside the record) order, whatever order
 * they came in. What is no number is an error for sum, avg and quantile: counted, and left out.
 *
 * aggregate_t is the layout for one rule and owns scratch memory: one thread at a time; aggregate_free. */
#ifndef ANANAS_AGGREGATE_H
#define ANANAS_AGGREGATE_H
#include "rowlog.h"
#include "script.h"

typedef struct aggregate aggregate_t;

/* head: bytes in front that belong to the caller; regions: his, before those of the aggregates. provenance: also collect
 * the positions of rows. The specs are borrowed. */
aggregate_t *aggregate_new(const agg_spec_t *specs, uint32_t n, time_format_t format, size_t head, uint32_t regions,
                           int provenance);
void aggregate_free(aggregate_t *a);
size_t aggregate_fixed(const aggregate_t *a); /* where regions begin */
uint32_t aggregate_regions(const aggregate_t *a);

/* What a call needs beside the state. */
typedef struct agg_context {
    const batch_t *rows;
    const column_t *args; /* per aggregate; cells == NULL: it has no argument */
    const char *const *topics;
    arena_t *arena;          /* results live here */
    script_t *script;        /* for fold */
    rowlog_chunks_t *chunks; /* where long lists go; NULL: nowhere */
    eval_errors_t *errors;   /* per aggregate */
} agg_context_t;

/* The column of a name, looked up in the records of an open batch where it is no column. */
column_t aggregate_column(arena_t *a, const batch_t *b, const char *name);
/* The columns the aggregates read, from the batch or by asking Lua. 0 or ERR_RUNAWAY. */
int aggregate_args(const aggregate_t *a, agg_context_t *c);

void aggregate_init(const aggregate_t *a, blob_t *b);
void aggregate_add(aggregate_t *a, blob_t *b, const agg_context_t *c, uint32_t row);
/* Are all aggregates count() and nothing is kept per row? Then n rows are added by a number. */
int aggregate_only_counts(const aggregate_t *a);
void aggregate_add_count(const aggregate_t *a, blob_t *b, uint64_t n);
void aggregate_merge(aggregate_t *a, blob_t *b, const char *other);
/* Moves long lists out of the state: 1 when there was one. Then the group has to be dropped by aggregate_drop. */
int aggregate_spill(const aggregate_t *a, blob_t *b, rowlog_chunks_t *chunks);
void aggregate_drop(const aggregate_t *a, const char *state, rowlog_chunks_t *chunks);
/* Values by name, then the provenance when asked for: cells that do not borrow from the state. 0 or ERR_RUNAWAY. */
int aggregate_values(aggregate_t *a, const char *state, const agg_context_t *c, cell_t *out);
/* The same for a group whose rows are all here, in order, without any state. */
int aggregate_over(aggregate_t *a, const agg_context_t *c, const uint32_t *rows, uint32_t n, cell_t *out);
int aggregate_one_over(aggregate_t *a, const agg_context_t *c, uint32_t i, const uint32_t *rows, uint32_t n,
                       cell_t *out);
#endif
