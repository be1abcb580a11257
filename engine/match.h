/* match: the operator behind `match`: row pattern recognition (SQL:2016) over partitions in event-time order.
 *
 * Rows wait for their turn in a reorder_t, go to their partition (match_part.h), and its matcher asks whether conditions
 * hold; decided matches become rows by their measures. Conditions and measures are Lua, so the operator runs in turns:
 * match_turn goes on to the next question and puts it into a match_turn_t, which scripts/match.lua answers from a loop
 * of its own, many questions in one protected call. Durable state is the reorder space and the two of match_part.h.
 * One thread (the task's). */
#ifndef ANANAS_MATCH_H
#define ANANAS_MATCH_H
#include "op.h"

typedef struct match match_t;

match_t *match_new(const rule_t *rule, store_t *store);
void match_free(match_t *x);
void match_rebuild(match_t *x);
/* One step. 0, or ERR_RUNAWAY when a condition or measure overran its budget: of *out, rows before the step's stop stand
 * (step_overrun). */
int match_run(match_t *x, step_t *s, const stream_t *in, result_t *out);

/* For those who watch: rows that wait for their turn, partitions known, rows kept for open attempts, and the watermark
 * at which something happens next (ETIME_MAX: nothing is due). Between two steps. */
typedef struct match_view {
    uint64_t waiting, partitions, kept;
    etime_t next;
} match_view_t;
void match_look(match_t *x, match_view_t *out);

enum { MATCH_DONE = 0, MATCH_CONDITION = 1, MATCH_MEASURE = 2 };

/* A question, repeated in scripts/match.lua. Rows are numbered as in `rows`. */
typedef struct match_turn {
    match_t *match;
    const batch_t *rows;      /* of the partition: all that are there */
    const uint16_t *labels;   /* of the rows from start on, see matcher.h */
    const char *const *names; /* of labels */
    const char *const *subset_names;
    const int32_t *subset_sizes;
    const int32_t *subset_members; /* labels, one subset behind the other */
    arena_t *arena;
    cell_t *out;          /* MATCH_MEASURE: where the value goes */
    volatile int32_t *at; /* changes with every question: each has a budget of its own */
    int32_t n_names, n_subsets;
    int32_t what, fn;
    int32_t layout;     /* of rows, see script_layout; -1: not known */
    int32_t start;      /* first row of the attempt or match */
    int32_t low;        /* first row that prev may reach */
    int32_t end_;       /* rows there; `end` is a word of Lua */
    int32_t current;    /* candidate, or row of the output; -1: none (an empty match) */
    int32_t n, n_final; /* labels up to the current row; of the whole match */
    int32_t finished;   /* no row will come */
    int32_t lookback;
    double number;
    int32_t holds, more, looked; /* answers: see matcher_answer_t */
} match_turn_t;

/* By FFI. Takes the answer to the question in t, if there is one; MATCH_DONE, or what the next one is. */
int match_turn(match_turn_t *t);
/* The text of a row's column as listagg writes it; s == NULL: null. Valid until the next call. */
void match_text(match_turn_t *t, const char *column, size_t len, int32_t row, slice_t *out);
#endif
