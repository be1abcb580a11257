/* group_run: what the parts of the group operator share: its body, and one run of it.
 *
 * group.c walks the ticks, group_pane.c knows tumbling, hopping and cumulating windows, group_session.c sessions,
 * group_record.c the groups inside one record, group_shared.c who reads whose state. A run lives for one call of
 * group_run, in the step's arena. */
#ifndef ANANAS_GROUP_RUN_H
#define ANANAS_GROUP_RUN_H
#include "aggregate.h"
#include "group.h"
#include "outcome.h"
#include "panes.h"
#include "sessions.h"

/* In front of a group's state; then come the aggregates, and as first region the group's cells as first seen. */
typedef struct group_head {
    uint32_t flags;
    uint32_t last; /* of a group that only adds up, see group_partial_t */
    span_t span;
} group_head_t;

/* Rows often repeat a group: where the last row with such cells went, and, where rows are only counted, how many are to be
 * added to its state before anybody looks at it. */
typedef struct group_slot {
    pane_t *pane;
    const void *symbol; /* of a single group_by column that is interned; NULL: compare cells */
    store_entry_t *entry;
    uint32_t run, row;
    uint64_t pending;
    etime_t end, wm; /* where windows overlap: of the first window of its rows; the watermark that they came by */
} group_slot_t;
#define GROUP_SLOTS_LEAST 256
#define GROUP_SLOTS_MOST 8192

struct group {
    const rule_t *rule;
    space_t *space;
    aggregate_t *aggregate;
    panes_t panes;
    sessions_t sessions;
    rowlog_chunks_t chunks; /* of long lists; the number is read at the start of a run */
    buf_t key, saved;       /* scratch */
    etime_t begin, until;   /* see group_new_from, group_leave; ETIME_MIN, ETIME_MAX: not handing over */
    uint8_t *left;          /* per row of this run */
    uint32_t run;           /* number of the current run: slots of others are void */
    int counting;           /* all aggregates are count(), and nothing else looks at a single row */
    etime_t next_pending;   /* the first window to close of those that something is pending for; ETIME_MAX: none */
    uint32_t n_slots, slot_shift; /* a power of two, and what leaves as many bits of 64 */
    uint32_t misses;              /* of this run: rows whose slot was another group's */
    group_slot_t *slots;
    uint32_t n_pending;
    uint16_t *pending;               /* slots that have some */
    int gathers;                     /* it only adds up */
    const group_partial_t *partials; /* for this run */
    uint32_t n_partials;
    etime_t floor;             /* windows that end here or before are not opened again, see group_floor */
    int plain;                 /* a group's first result is its last: nothing of it is remembered */
    group_t *lead;             /* whose state it reads as its own; NULL: it has its own */
    struct group *readers;     /* of this one's state */
    struct group *next_reader; /* of its lead's */
    struct group_pass *pass;   /* what came of the rows in the step `walked`, for the readers */
    uint64_t walked;
};

/* What the walk told the rule it walked for, and has to tell every other one. */
typedef struct group_late_row {
    uint32_t row, tick;
} group_late_row_t;

typedef struct group_pass {
    group_t *g; /* whose state it is */
    step_t *s;
    const rule_t *rule;    /* on whose behalf: its own, or a reader's */
    agg_context_t context; /* context.rows: the input */
    const column_t *by;    /* the group_by columns */
    outcome_t outcome;
    fate_t *fates;
    etime_t wm;
    uint32_t partial; /* the next to merge */
    group_late_row_t *late;
    uint32_t n_late, cap_late;
    uint32_t refused;
} group_pass_t;

/* --- group.c --- */

/* Of the next window row and of the next chunk. */
typedef struct group_numbers {
    uint64_t sequence, chunk;
} group_numbers_t;

group_numbers_t group_read_numbers(const group_t *g);
void group_write_numbers(group_t *g, const group_numbers_t *n);
int group_is_state(const store_entry_t *e); /* or does it stand beside the groups? */
/* Equal cells without looking deep: 0 may still be the same group, 1 is. */
int group_same_cells(const group_pass_t *p, uint32_t a, uint32_t b);
/* Appends the group key of a row. */
void group_key(const group_pass_t *p, uint32_t row, buf_t *out);
/* An order-keeping prefix: 8 bytes that sort as the time does. */
void group_time_key(buf_t *out, etime_t t);
group_head_t group_head(const store_entry_t *e);
/* Flags that say what the state is, not what became of its results. */
#define GROUP_STATE_FLAGS ((uint32_t)(GROUP_FIRED | GROUP_SPILLED))
void group_set_head(space_t *sp, store_entry_t *e, const group_head_t *h);
/* The state of the group under g->key, made from the row's cells when absent; NULL when there is no room (then it is counted). */
store_entry_t *group_find_or_make(group_pass_t *p, span_t span, uint32_t flags, uint32_t row, int *made);
void group_add_row(group_pass_t *p, store_entry_t *e, uint32_t row);
/* The group's fate in this step; NULL where nothing is remembered. */
fate_t *group_fate(group_pass_t *p, store_entry_t *e);
void group_drop(group_pass_t *p, store_entry_t *e);
/* Leaves a candidate with the group's results as they are now. 0 or ERR_RUNAWAY. */
int group_candidate(group_pass_t *p, outcome_kind_t what, store_entry_t *e, uint32_t tick, uint32_t set, int touched);
/* After a row was added to a window that has not fired: an early look, where the rule wants them. */
int group_look_early(group_pass_t *p, store_entry_t *e, uint32_t tick);
/* A question overran: see step_overrun. */
void group_overrun(group_pass_t *p, uint32_t tick);
void group_late(group_pass_t *p, uint32_t row);
/* Is a row late for a window with that end? */
static inline int group_is_gone(const group_pass_t *p, etime_t end) {
    return end <= p->g->floor || window_is_over(end, p->g->rule->lateness, p->wm);
}

/* --- one way per kind of window --- */

int group_pane_row(group_pass_t *p, uint32_t row);
/* Takes rows from `row` on whose ticks are at most `tick`, as long as they are of known groups of the window of the row
 * before. Returns the first row that is not taken. */
uint32_t group_pane_count(group_pass_t *p, uint32_t row, uint32_t tick);
/* More slots where the last run missed often; only between runs. */
void group_pane_slots(group_t *g, uint32_t rows);
void group_pane_settle(group_pass_t *p); /* adds what is pending */
/* The window that closes next, of those that are there or have something pending. */
etime_t group_pane_next_end(const group_t *g);
int group_pane_quiet(const group_t *g, etime_t wm); /* does that watermark close nothing? */
int group_pane_watermark(group_pass_t *p, uint32_t tick);
void group_pane_index(group_t *g, store_entry_t *e, const group_head_t *h);
int group_session_row(group_pass_t *p, uint32_t row);
int group_session_quiet(const group_t *g, etime_t wm);
int group_session_watermark(group_pass_t *p, uint32_t tick);
void group_session_index(group_t *g, store_entry_t *e, const group_head_t *h);
void group_record_rows(group_pass_t *p);

/* --- group_partial.c --- */

/* Of a group that only adds up: the row went to this window. */
void group_count_last(group_pass_t *p, store_entry_t *e, uint32_t row);
void group_merge(group_pass_t *p, const group_partial_t *x);
#endif
