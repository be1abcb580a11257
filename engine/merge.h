/* merge: a rule that reads several inputs sees them as one stream.
 *
 * Rows are interleaved by tick, within a tick by the order in which `from` lists the inputs; columns are united by name
 * (what an input lacks is null), `_from` names the input. The watermark is what a valve over the inputs gives. One thread. */
#ifndef ANANAS_MERGE_H
#define ANANAS_MERGE_H
#include "op.h"
#include "watermark.h"

/* names[i]: the input's name; extras: its columns beside the record's members, see select.h. */
typedef struct merge_input {
    const char *name;
    const stream_t *stream;
    const names_t *extras;
} merge_input_t;

/* Moves the valve; everything in *out lives in the step's arena. n may be 1. */
void merge_streams(step_t *s, const merge_input_t *in, uint32_t n, valve_t *valve, stream_t *out);
/* Rows of several batches of one rule (versions of it) as one, by tick. */
batch_t *merge_rows(step_t *s, const batch_t *const *b, uint32_t n, const char *name);
/* in with a column _from. */
batch_t *merge_name(arena_t *a, const batch_t *in, const char *name);
#endif
