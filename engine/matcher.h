/* matcher: finds the matches of one pattern in the rows of one partition, as they come.
 *
 * Rows are numbers (0, 1, 2, ... from the first row the partition ever had) with an event time, fed in order; what is in
 * them is known only to the conditions. The meaning is SQL:2016's: leftmost start, then order of preference, with full
 * backtracking. The matcher keeps one attempt and walks its most preferred path as far as rows reach; only when that path
 * is dead does it take up the next one, over rows it has seen. So a match is known as soon as no later row can change
 * it, and a path nobody prefers costs nothing. What was tried in vain is remembered per (row, place in the program): for
 * conditions that look at rows only, work is linear in rows, across attempts too; for conditions that look at labels it
 * can be exponential, and max_steps and max_rows end such an attempt with an event.
 *
 * It asks instead of calling: matcher_run goes on until it needs an answer (MATCHER_ASK), has something to tell
 * (MATCHER_EVENT) or needs a row (MATCHER_IDLE), so conditions may live in compiled Lua. A condition is asked at most once
 * per row, variable and attempt, unless it looks at labels that differ. One thread. matcher_plan_t is shared by the
 * matchers of a rule and outlives them; both are freed by whoever made them. */
#ifndef ANANAS_MATCHER_H
#define ANANAS_MATCHER_H
#include "clock.h"
#include "program.h"
#include "rule.h"

#define MATCHER_MAX_ROWS 100000
#define MATCHER_MAX_STEPS 250000
#define MATCHER_EXCLUDED 0x8000u /* bit of a label: the row is inside {- -} */
#define MATCHER_NO_EXPIRY ETIME_MAX

typedef struct matcher_options {
    int64_t within; /* ms between first and last row, exclusive; 0: none */
    skip_kind_t skip;
    const uint8_t *skip_vars; /* per variable: belongs to the target of SKIP TO FIRST/LAST */
    const uint8_t *defined;   /* per variable: has a condition; without one every row does */
    int emit_timeout;         /* tell of expired attempts (MATCHER_TIMED_OUT) */
    int report_unmatched;     /* tell of rows in no match (MATCHER_UNMATCHED) */
    uint64_t lookback;        /* rows before an attempt that are still reached by prev */
    uint32_t max_rows;        /* of one attempt; 0: MATCHER_MAX_ROWS */
    uint64_t max_steps;       /* of backtracking in one attempt; 0: MATCHER_MAX_STEPS */
} matcher_options_t;

typedef enum { MATCHER_IDLE, MATCHER_ASK, MATCHER_EVENT } matcher_status_t;
typedef enum { MATCHER_FAILS, MATCHER_HOLDS, MATCHER_MORE } matcher_answer_t;
enum {                             /* what a condition looked at besides rows near its own */
       MATCHER_LOOKED_HISTORY = 1, /* labels, rows by label, the start of the attempt */
       MATCHER_LOOKED_NUMBER = 2   /* the match number */
};

/* A question: does the condition of `var` hold for row `seq`? labels[i] is the variable of row start + i, the candidate
 * (the last one) included. MATCHER_MORE: it looked at row `end` or later, which has not come; never with `finished`. */
typedef struct matcher_view {
    uint64_t seq, start, end, number;
    const uint16_t *labels;
    uint32_t n, var;
    uint32_t finished;
} matcher_view_t;

typedef enum {
    MATCHER_MATCH,
    MATCHER_EMPTY,          /* a match of no row, at row `start` */
    MATCHER_TIMED_OUT,      /* n rows of the preferred partial match */
    MATCHER_UNMATCHED,      /* row `start` */
    MATCHER_SKIP_MISSING,   /* a match whose SKIP TO target has no row: no output, an error */
    MATCHER_SKIP_FIRST,     /* a match whose SKIP TO target is its own first row: the same */
    MATCHER_TOO_MANY_STEPS, /* n rows given up with the attempt: an error */
    MATCHER_TOO_MANY_ROWS
} matcher_kind_t;

typedef struct matcher_event {
    matcher_kind_t kind;
    uint32_t n;
    uint64_t start, number; /* number: of the match, counted per partition from 1 */
    const uint16_t *labels; /* n of them */
} matcher_event_t;

typedef struct matcher_plan matcher_plan_t;
typedef struct matcher matcher_t;

matcher_plan_t *matcher_plan_new(program_t *program, const matcher_options_t *o); /* takes the program */
void matcher_plan_free(matcher_plan_t *p);

matcher_t *matcher_new(matcher_plan_t *p);
void matcher_free(matcher_t *m);

/* seq is one more than the last one fed; after matcher_load it begins anywhere at or below the saved start (rows below
 * are ignored). Times never decrease. None of the three runs anything; call matcher_run behind them. */
void matcher_feed(matcher_t *m, uint64_t seq, etime_t time);
void matcher_advance(matcher_t *m, etime_t watermark); /* no row at or before it will come */
void matcher_finish(matcher_t *m);                     /* no row will come */

matcher_status_t matcher_run(matcher_t *m);
const matcher_view_t *matcher_view(matcher_t *m); /* after MATCHER_ASK */
void matcher_answer(matcher_t *m, matcher_answer_t answer, unsigned looked);
const matcher_event_t *matcher_event(matcher_t *m); /* after MATCHER_EVENT, until matcher_accept */
/* The event has been dealt with. Without it the event stays, also over matcher_save: it will be found again. */
void matcher_accept(matcher_t *m);

uint64_t matcher_low(const matcher_t *m);    /* first row still needed */
etime_t matcher_expires(const matcher_t *m); /* watermark at which the attempt expires, or MATCHER_NO_EXPIRY */
/* What must survive besides the rows from matcher_low on. Feeding those again brings the matcher to where it was, and
 * nothing accepted is told twice, also when the plan has changed. */
void matcher_save(const matcher_t *m, buf_t *out);
int matcher_load(matcher_t *m, reader_t *in); /* into a new matcher; ERR_INVALID: not what matcher_save wrote */
#endif
