/* pipeline: one rule at work: its operator, its select stage and what came out of it in this step.
 *
 * Made from a plan for one task and thrown away with it; durable state is in the task's store, so making a pipeline
 * again over the same store goes on where the last one stopped. One thread. */
#ifndef ANANAS_PIPELINE_H
#define ANANAS_PIPELINE_H
#include "cooldown.h"
#include "exchange.h"
#include "group.h"
#include "leaving.h"
#include "match.h"
#include "merge.h"
#include "process.h"
#include "select.h"

/* What unnest and where made of one step's input. A rule with the same ones over the same rows takes it as it is. */
typedef struct prefix {
    const batch_t *in;
    const unnested_t *fast;
    batch_t *unnested, *kept;
    uint64_t step; /* it was made in, without an error on the way; 0: it is nobody's but its maker's */
} prefix_t;

typedef struct pipeline {
    const rule_t *rule;
    struct pipeline *twin; /* the first of those that begin in the same way, or NULL: none before it does; borrowed */
    prefix_t prefix;       /* of all that have it as their twin, and of itself */
    names_t in_extras;     /* columns of its input rows beside the record's members, see select.h */
    names_t extras;        /* the same of its output rows */
    select_t *select;
    group_t *group; /* at most one of these three */
    match_t *match;
    process_t *process;
    cooldown_t *cooldown;
    exchange_t *exchange; /* in front of the operator, where several tasks share the work; else NULL */
    reign_t reign;
    leaving_t *leaving; /* versions before it whose windows are still open, oldest first */
    size_t n_leaving, cap_leaving;
    valve_t valve; /* where it reads several inputs */
    rule_stats_t stats;
    etime_t wm; /* what its readers have been told so far */
    int idle;
    stream_t out; /* of this step, for its readers */
    int cut;      /* in this step it sees nothing from tick `stop` on: it, or a rule that it reads, overran there */
    uint32_t stop;
} pipeline_t;

/* in_extras: borrowed strings in a list of the pipeline's own. */
void pipeline_init(pipeline_t *p, const rule_t *rule, store_t *store, names_t in_extras, reign_t reign);
void pipeline_fini(pipeline_t *p);
/* Do the same rows reach both, behind unnest and where? Conditions are functions of their row alone. */
int pipeline_same_rows(const rule_t *a, const rule_t *b);
/* May one take what the other's unnest and where made, and does it save anything? */
int pipeline_begins_alike(const rule_t *a, const rule_t *b);
/* Of the version that would take over from this one at `begin`. */
reign_t pipeline_next_reign(const pipeline_t *p, etime_t begin);
/* The version that p is takes over the windows' future from `old` of generation g, whose windows close under its own code. */
void pipeline_hand_over(pipeline_t *old, generation_t *g, pipeline_t *p);
/* Versions that were leaving go on leaving. */
void pipeline_move_leaving(pipeline_t *old, pipeline_t *p);
/* A version that was leaving when its state was written. */
void pipeline_add_leaving(pipeline_t *p, generation_t *g, const rule_t *rule, store_t *store, reign_t reign,
                          etime_t until);
/* The greatest end of a window that is there, of all versions; ETIME_MIN: none is. */
etime_t pipeline_last_end(const pipeline_t *p);

void pipeline_rebuild(pipeline_t *p);
/* Takes its input through every stage: unnest, where, operator, select, cooldown, writing. fast: what the decoder
 * unnested already for this rule, or NULL. Where p->cut is set, rows from p->stop on are skipped. ERR_RUNAWAY when a
 * function of the rule overran its budget (step->overrun says which): then p->cut is set, and what came of the ticks before
 * p->stop stands. Else 0. */
int pipeline_run(pipeline_t *p, step_t *s, const stream_t *in, const unnested_t *fast, outbox_t *o);
/* A rule that does not run still passes the watermark on, and counts what it did not see. */
void pipeline_skip(pipeline_t *p, step_t *s, const stream_t *in);
#endif
