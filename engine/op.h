/* op: what every operator of a rule is given, and what it gives back.
 *
 * A rule is a chain: where -> one of (group, match, process, nothing) -> select. An operator owns only derived indexes;
 * its durable state is in the store, from which <op>_rebuild makes the indexes again after an abort, a restore or a
 * reload. It is called once per step with the rule's input stream and must follow the tick order of stream.h. All its
 * results live in the step's arena. One thread (the task's). */
#ifndef ANANAS_OP_H
#define ANANAS_OP_H
#include "generation.h"
#include "profile.h"
#include "rule.h"
#include "script.h"
#include "store.h"
#include "stream.h"

typedef struct rule_stats {
    uint64_t rows_in; /* rows that reached the rule (after unnest, before where) */
    uint64_t emitted; /* rows it gave, tombstones not counted */
    uint64_t updates, tombstones;
    uint64_t late;            /* rows too late for every window they belong to */
    uint64_t errors;          /* evaluations that raised */
    uint64_t limits;          /* things given up because of a bound (pattern threads, max_state, ...) */
    uint64_t held_back;       /* by cooldown */
    uint64_t skipped;         /* rows not seen while quarantined */
    uint64_t dropped_windows; /* open windows dropped by a reload */
    uint64_t time_ns;         /* spent on it, by the monotonic clock; of this process */
    int64_t longest_ns;       /* CPU time of its longest evaluation, as far as the watchdog saw it */
    int quarantined;
} rule_stats_t;

typedef struct step step_t;
/* Says that evaluations of `fn` failed: counts, keeps the last error for /rules, logs the first and then a sampled few
 * with the position of the row. Does nothing when e->count is 0. */
void step_errors(step_t *s, const rule_t *rule, fn_t fn, const batch_t *rows, const eval_errors_t *e);
/* Says that the rule failed at something that is no function of its own, such as a skip target: counted as an error. */
void step_fault(step_t *s, const rule_t *rule, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* Says that a bound was reached (counted, logged now and then). */
void step_limit(step_t *s, const rule_t *rule, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* A row that is too late: counted, and written to the rule's late_to when there is one. */
void step_late(step_t *s, const rule_t *rule, const batch_t *rows, uint32_t row, uint32_t tick);
/* The columns that stand beside the records of the rule's input rows and are written with them, see select.h. */
const names_t *step_extras(const step_t *s);

/* A question of the rule overran its budget, at a row or watermark of that tick. What came of earlier ticks stands, as if
 * the step had ended before it; the operator gives up the rest. The script is made anew, so that it can be asked again. */
void step_overrun(step_t *s, uint32_t tick);

struct step {        /* one step of the task; made by task.c */
    uint64_t number; /* no two steps of a task have the same */
    arena_t *arena;
    arena_t *sieve; /* for a moment, see outcome_sift */
    store_t *store;
    script_t *script;
    generation_t *generation; /* whose script it is; NULL: a script that is not made again */
    int cut;                  /* the rule sees nothing from tick `stop` on */
    uint32_t stop;
    char overrun[600];   /* what overran first; empty: nothing */
    rule_stats_t *stats; /* of the rule being run */
    uint32_t rule_index; /* likewise, in the plan that runs; a leaving version has it from its successor */
    log_t *log;
    profile_t *profile;        /* NULL: nothing is measured */
    const char *const *topics; /* names by origin.topic; a NULL ends them */
    etime_t since;             /* windows that began before it are not emitted */
    void *task;
};

typedef enum { ROW_NEW = 0, ROW_UPDATE = 1, ROW_TOMBSTONE = 2 } row_kind_t;

/* How many of the batch's rows, which stand in tick order, come before the rule's stop. */
uint32_t step_rows_before_stop(const step_t *s, const batch_t *b);
/* The stream without what the rule does not see any more. */
void step_cut(step_t *s, stream_t *in);

/* What an operator gives: rows in the order of emission (ticks never decrease) with the columns that the operator
 * defines. kind == NULL: all ROW_NEW. Updates and tombstones go to the rule's topic only, never to its readers. */
typedef struct result {
    batch_t *batch;
    uint8_t *kind;
    slice_t *keys;         /* set by select: the output record's key per row; NULL: the source record's key */
    const etime_t *stamps; /* the output record's time, where it is not the row's event time for its readers; or NULL */
} result_t;
/* Where provenance is asked for (rule->provenance), results carry the column EXPLAIN_COLUMN: JSON array text of
 * [topic, partition, offset] triples; input batches that already have such a column pass its cells on. */
#endif
