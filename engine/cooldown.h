/* cooldown: at most one anomaly per key in so much event time.
 *
 * Remembers, per output key, when it last let one pass (durable, in the store), and where results are updated all such times
 * that updates may still come for; an entry is freed when no update of what it held back can come any more. Updates and
 * tombstones of what passed are not held back, those of what was held back are. One thread. */
#ifndef ANANAS_COOLDOWN_H
#define ANANAS_COOLDOWN_H
#include "op.h"

typedef struct cooldown cooldown_t;
cooldown_t *cooldown_new(const rule_t *rule, store_t *store);
void cooldown_free(cooldown_t *c);
void cooldown_rebuild(cooldown_t *c);
/* Removes the rows that are held back, counting them; frees what the watermark has passed. in: the rule's input, for the
 * watermark before each tick. */
void cooldown_run(cooldown_t *c, step_t *s, const stream_t *in, result_t *rows);
#endif
