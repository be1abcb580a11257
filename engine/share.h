/* share: which rules with windows keep one state between them.
 *
 * Rules that differ in what they make of their results (having, top, select, to) would all keep the same groups of the
 * same rows. They share one state while their states are equal and the same rows reach them: one of them, the lead, has
 * it in its space of the store, the others have the lead's name in theirs, so that it lasts as long as the state does.
 * Nobody can tell from the output: whoever goes another way (a reload that changes what its state means, a quarantine)
 * gets a copy first, and whoever was added later joins when its state has become equal. Pipelines belong to the task. One
 * thread (the task's). */
#ifndef ANANAS_SHARE_H
#define ANANAS_SHARE_H
#include "pipeline.h"
#include "reload.h"

typedef struct share {
    int due;              /* something happened that may part rules that share */
    uint32_t apart;       /* rules that could share a state with another, were it equal */
    uint32_t pause, left; /* steps between two looks at them; until the next one */
} share_t;

/* Brings who shares with whom in line with what is stored and with the rules as they are: after a start, an abort or a
 * reload. It only parts them: whether states are equal is looked at when all of them are there, at the next step. */
void share_settle(share_t *s, pipeline_t *at, uint32_t n);
/* At the beginning of each step, before any rule runs. */
void share_step(share_t *s, pipeline_t *at, uint32_t n);
/* Before the verdicts are carried out: whose state, or whose lead's, will not be there as it is gets a copy. */
void share_before_reload(pipeline_t *olds, uint32_t n, const verdicts_t *v);
#endif
