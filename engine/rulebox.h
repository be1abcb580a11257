/* rulebox: the rules that this process loaded last without a fault, for the threads of its tasks.
 *
 * Not what runs: that is each task's own affair (and, where there are several, the leader's). Whoever opens a task takes
 * a copy. Any thread. */
#ifndef ANANAS_RULEBOX_H
#define ANANAS_RULEBOX_H
#include "buf.h"

typedef struct rulebox rulebox_t;

rulebox_t *rulebox_new(void);
void rulebox_free(rulebox_t *b);
void rulebox_put(rulebox_t *b, const char *version, slice_t texts);
/* Copies; version may be NULL. */
void rulebox_get(rulebox_t *b, buf_t *texts, buf_t *version);
/* Whether this is the version in it. */
int rulebox_is(rulebox_t *b, const char *version);
/* Rises with every put of another version: a cheap question. */
unsigned rulebox_serial(rulebox_t *b);
#endif
