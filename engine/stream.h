/* stream: what flows from a source or a rule to the rules that read it, in one step of a task.
 *
 * A step takes a run of input events (records, idleness, explicit watermarks), numbered by ticks from 0. A stream is
 * the rows they led to, in tick order, and the watermark after each tick at which it moved. Readers take the rows of
 * tick t (judged by the watermark before t), then the watermark of t, and so on: what comes out does not depend on how
 * events are cut into steps. Lives in the step's arena. One thread. */
#ifndef ANANAS_STREAM_H
#define ANANAS_STREAM_H
#include "batch.h"

typedef struct mark {
    etime_t wm;    /* never less than the mark before */
    uint32_t tick; /* strictly increasing */
    uint32_t idle; /* 1: every partition behind this stream is idle (matters where inputs merge) */
} mark_t;

typedef struct stream {
    batch_t *batch; /* never NULL; may have no rows */
    const mark_t *marks;
    uint32_t n_marks;
    etime_t wm_before; /* watermark before tick 0; ETIME_MIN: none yet */
    int idle_before;
} stream_t;

static inline uint32_t stream_tick(const stream_t *s, uint32_t row) { return batch_origin(s->batch, row)->tick; }
#endif
