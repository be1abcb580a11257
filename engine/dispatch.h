/* dispatch: what a task has for the others, by partition, until it goes out as frames.
 *
 * Owns a parcel per partition of the repartition topic. Whoever has something to send writes into the parcel of its
 * partition and says so afterwards (dispatch_wrote), so that no frame grows too large. Frames that were cut wait, in the
 * step's arena, to be put into the outbox at the step's end. One thread (the task's). */
#ifndef ANANAS_DISPATCH_H
#define ANANAS_DISPATCH_H
#include "parcel.h"
#include "sink.h"

#define DISPATCH_FRAME (384 * 1024) /* a frame is cut when its body has reached this */

typedef struct dispatch dispatch_t;
dispatch_t *dispatch_new(uint32_t self, uint32_t parallelism);
void dispatch_free(dispatch_t *d);
uint32_t dispatch_n(const dispatch_t *d); /* partitions */
uint32_t dispatch_self(const dispatch_t *d);
parcel_t *dispatch_parcel(dispatch_t *d, uint32_t partition);
void dispatch_wrote(dispatch_t *d, uint32_t partition, arena_t *a);
/* Symbols have other ids from this generation on. */
void dispatch_symbols(dispatch_t *d, uint32_t generation);
void dispatch_cut_all(dispatch_t *d, arena_t *a);
int dispatch_holds(const dispatch_t *d); /* 1: something was written and not cut yet */
/* Appends the frames that were cut to the outbox. */
void dispatch_take(dispatch_t *d, outbox_t *o);
/* An abort: whatever was gathered never was. */
void dispatch_drop(dispatch_t *d);

typedef struct dispatch_stats {
    uint64_t frames, bytes;
} dispatch_stats_t;
const dispatch_stats_t *dispatch_stats(const dispatch_t *d);
#endif
