/* intake: what a step reads, decoded ahead of it where there is a thread for that.
 *
 * The events of a step are split by source and decoded into an arena of their own. Told to go ahead, the intake does it on
 * a thread beside the task's, while the rules are at work on the step before. Two steps may be in it: the one that was
 * taken and the one behind it, or two that nobody took yet. Owns decoders, symbols, arenas and the thread; borrows the
 * events, and the bytes behind them, until the second step after theirs is begun. Called by the task's thread alone. */
#ifndef ANANAS_INTAKE_H
#define ANANAS_INTAKE_H
#include "config.h"
#include "source.h"

typedef struct intake intake_t;

typedef struct intake_part { /* a step's records of one source, with the numbers of their events as ticks */
    record_t *records;
    size_t n, cap;
    decoded_t decoded;
} intake_part_t;

typedef struct intake_step {
    const event_t *events;
    uint32_t n;
    wall_t wall;
    intake_part_t *parts; /* by source */
    uint32_t symbols;     /* their generation */
    int64_t ahead_ns;     /* processor time of the other thread; 0: it was decoded on this one */
} intake_step_t;

intake_t *intake_new(const config_t *c);
void intake_free(intake_t *in); /* whatever is in it */
/* A source's topics (as in record_t; borrowed) and its decoder, taken over, in place of those it had. Nothing may be begun
 * and not taken. */
void intake_source(intake_t *in, uint32_t source, const int32_t *topics, uint32_t n, decoder_t *d);
intern_t *intake_symbols(intake_t *in); /* for this thread only while nothing goes ahead */

/* ahead: on the other thread, where one can be had. Of those before it one at most is still looked at. */
void intake_begin(intake_t *in, const event_t *events, uint32_t n, wall_t wall, int ahead);
/* The earliest that was begun, when it is decoded. It stays until the second step after it is begun. */
intake_step_t *intake_take(intake_t *in);
/* The first n events of what was taken last, once more; what was begun behind it is dropped. */
void intake_cut(intake_t *in, uint32_t n);
void intake_drop(intake_t *in); /* what was begun and not taken */
#endif
