/* outcome: what becomes of the group rows of a step.
 *
 * While a step runs, windows that close, early looks, late updates and merged sessions leave candidate rows here, in the
 * order in which they happened. At the end, or before (see below), `having` is asked, `top` ranks those of one window, and
 * a walk in the same order decides what is emitted: each early result once per group and window, an update for each
 * late row, a tombstone when a written result no longer stands. What was written is remembered in flags, which live in
 * the group's state; a fate is such a group during the step, also when its state is gone by its end. Where a group's first
 * result is its last (no early, no lateness) nothing needs remembering, and candidates have no fate: a row for which
 * `having` does not hold leaves nothing, so where many windows close at once they are sifted as they come, and a window of
 * a million groups takes the room of what it writes.
 * Everything lives in the step's arena, but for what is to be sifted. One thread. */
#ifndef ANANAS_OUTCOME_H
#define ANANAS_OUTCOME_H
#include "op.h"
#include "window.h"

enum {                    /* flags of a group */
       GROUP_FIRED = 1,   /* its window has fired */
       GROUP_WRITTEN = 2, /* a result of it stands in the rule's topic */
       GROUP_GIVEN = 4,   /* the rule's readers have had a row of it */
       GROUP_SPILLED = 8  /* parts of its lists stand elsewhere */
};

typedef struct fate {
    store_entry_t *entry; /* NULL: gone */
    uint32_t flags;
    span_t written; /* GROUP_WRITTEN: the window columns of that result; its session may have grown since */
    struct fate *next;
} fate_t;

typedef enum {
    OUTCOME_CLOSE,   /* its window fires */
    OUTCOME_EARLY,   /* a row was added to an open window */
    OUTCOME_UPDATE,  /* a row was added to a fired window */
    OUTCOME_RETRACT, /* the window is no more (a session that had fired and grew, or was merged away) */
    OUTCOME_MERGE    /* fate becomes part of `into`; no row */
} outcome_kind_t;

typedef struct candidate {
    outcome_kind_t what;
    fate_t *fate; /* NULL: nothing is remembered */
    fate_t *into; /* MERGE */
    uint32_t row; /* among the candidate rows */
    uint32_t set; /* groups that `top` ranks together; 0: alone */
    int touched;  /* in an updated set: the group that the late row belongs to; RETRACT: the window is still there, and
                     only a result that has other window columns goes */
} candidate_t;

typedef struct outcome {
    const rule_t *rule;
    arena_t *arena;
    uint32_t width; /* cells of a row: group_by, window columns, aggregates, provenance */
    candidate_t *at;
    size_t n, cap;
    cell_t *cells; /* row by row */
    origin_t *origins;
    uint32_t *subs;
    uint32_t n_rows, cap_rows;
    uint32_t sets;
    size_t n_judged;        /* candidates, from the first, that `having` was asked about already: they stand */
    uint32_t n_judged_rows; /* theirs */
    int sifts;              /* see outcome_is_full */
    arena_t *bytes;         /* what cells of further candidates may point into */
    int numbered;           /* rows of windows, which no single record places */
    int shared;             /* several rules decide over these candidates, each for itself */
    batch_t *rows;          /* the candidates as a batch, made when first asked for */
} outcome_t;

void outcome_init(outcome_t *o, const rule_t *rule, arena_t *a);
/* That many rows are about to come: growing towards many step by step leaves as much again behind in the arena. */
void outcome_expect(outcome_t *o, uint32_t rows);
/* Adds a candidate with a row; its cells are the caller's to fill, until the next call. */
candidate_t *outcome_add(outcome_t *o, outcome_kind_t what, fate_t *fate, const origin_t *origin, uint32_t sub,
                         cell_t **cells);
void outcome_merge(outcome_t *o, fate_t *fate, fate_t *into);
uint32_t outcome_new_set(outcome_t *o);
#define OUTCOME_SIFTED 1024 /* rows: few enough to stay in the cache, enough for one question */
/* Are there so many that nobody has been asked about that outcome_sift is worth it? */
static inline int outcome_is_full(const outcome_t *o) {
    return o->sifts && o->n_rows - o->n_judged_rows >= OUTCOME_SIFTED;
}
/* Asks `having` about what has come since, and forgets what does not stand; where it overran, what is of that tick or later
 * as well (errors among rows of that tick that were asked about before stay counted). */
void outcome_sift(outcome_t *o, step_t *s);
/* No candidates will come: whatever is left points into the step's arena. */
void outcome_complete(outcome_t *o, step_t *s);
/* All candidates as rows. */
batch_t *outcome_batch(outcome_t *o);
/* Decides for that rule: the one of outcome_init, or another whose candidates would be the same. *sequence numbers the
 * rows of windows, in order of emission. Where `having` overruns, only over the ticks before it. */
void outcome_decide(const outcome_t *o, const rule_t *rule, step_t *s, uint64_t *sequence, result_t *out);
/* How many cells stand before the aggregates. */
uint32_t outcome_before_values(const rule_t *rule);
#endif
