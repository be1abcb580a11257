/* reorder: rows that wait for their turn in event time.
 *
 * Rows come as they arrive and leave in (event time, order columns, topic, partition, offset, number inside the record)
 * order once the watermark has reached them; a row whose event time the watermark has passed already is late. What still
 * waits at the end of a step is packed into a space of the store; the heap over that space is derived and made again by
 * reorder_rebuild. Rows that come and leave within one step never touch the store. One thread (the task's). */
#ifndef ANANAS_REORDER_H
#define ANANAS_REORDER_H
#include "op.h"

typedef struct reorder reorder_t;

/* Borrows the space (of which it is the only user), order and needs (NULL: all columns), which must outlive it. */
reorder_t *reorder_new(space_t *space, const order_item_t *order, uint32_t n_order, const names_t *needs);
void reorder_free(reorder_t *r);
void reorder_rebuild(reorder_t *r);

/* One step: *out has the rows whose turn came, in order, each with the tick of the watermark that let it go, and the
 * input's watermarks. Late rows go to step_late and nowhere else. The batch lives in the step's arena. */
void reorder_run(reorder_t *r, step_t *s, const rule_t *rule, const stream_t *in, stream_t *out);

size_t reorder_waiting(const reorder_t *r); /* rows in the store */
etime_t reorder_next(const reorder_t *r);   /* event time of the first of them; ETIME_MAX: none */
#endif
