/* group: the operator of rules with a window: window x group_by x aggregates.
 *
 * Follows the input's ticks: a row goes to the windows its event time belongs to and that the watermark has not closed,
 * a watermark closes windows and emits their groups by (window end, group key). Result columns are group_by,
 * window_start, window_end, window_time (= end - 1; none of the three for record()), the aggregates by name, and
 * provenance where asked for. A row of a window has the event time end - 1; a group of record() keeps its record's
 * event time, position and key. What is emitted when (having, top, early, lateness) is decided by outcome.h.
 *
 * State: one store entry per open window and group (per session), complete in itself; indexes over it are derived
 * (panes.h, sessions.h). record() needs none: its rows come and go in one tick. Where max_state is reached new groups are
 * refused and counted. One thread (the task's). */
#ifndef ANANAS_GROUP_H
#define ANANAS_GROUP_H
#include "op.h"
#include "window.h"

typedef struct group group_t;

/* Where a version of a rule took over from the one before it; begin == ETIME_MIN: none was. One may leave before a window
 * of its own was open: then the next begins there as well. */
typedef struct reign {
    etime_t begin;
    uint32_t number; /* no two versions that are there at once have both in common */
} reign_t;
#define REIGN_FIRST ((reign_t){ETIME_MIN, 0})
static inline int reign_same(reign_t a, reign_t b) { return a.begin == b.begin && a.number == b.number; }

group_t *group_new(const rule_t *rule, store_t *store);
group_t *group_new_from(const rule_t *rule, store_t *store, reign_t reign);
void group_free(group_t *g);
/* One step. 0, or ERR_RUNAWAY when a function of the rule overran its budget: then *out has what came of the ticks before
 * (step_overrun). */
int group_run(group_t *g, step_t *s, const stream_t *in, result_t *out);
void group_rebuild(group_t *g);

/* Handing over, when a reload changes what the state means. The version that leaves takes no window that ends after
 * `until` (of sessions: only rows that touch one of its own); the one that comes takes none that starts before `begin`,
 * but for a tumbling one, which is cut to begin there. */
void group_leave(group_t *g, etime_t until);
void group_drop_state(group_t *g, store_t *store); /* nothing may run on it afterwards */
/* Of a leaving version with sessions: rows of the last run that it did not take. */
const uint8_t *group_left(const group_t *g);
etime_t group_last_end(const group_t *g); /* greatest end of a window that is there, fired or not; ETIME_MIN: none */

/* ---- groups that are added up in one place and merged in another: windows but sessions, aggregates that merge ---- */

typedef struct group_partial {
    uint32_t tick;
    span_t span;
    uint64_t last; /* rows of which this is the last window: late with it */
    slice_t cells; /* the group_by columns as saved cells; of those that come, not looked at */
    slice_t state; /* complete but for its head, of the same shape on both sides */
} group_partial_t;
/* Makes a group that only adds up: what it holds is told window by window, by group key, and forgotten. */
void group_gather(group_t *g);
void group_ship(group_t *g, void (*one)(void *ctx, const group_partial_t *p), void *ctx);
size_t group_gathered(const group_t *g); /* bytes */
/* What the next run has to merge, in tick order; within a tick before the rows. Borrowed until that run is over. */
void group_take(group_t *g, const group_partial_t *partials, uint32_t n);

/* ---- state that several rules share ----
 *
 * Rules whose state would be the same may read one: that of their lead, which has it in its space; each has its own
 * sequence of results there and, in place of a state, the lead's name. What counts is that states are equal now and that
 * the same rows come to them: which of the rules takes the rows in is all the same. */

/* Would the same rows make the same state of both, and would they leave nothing in it that is one rule's own? */
int group_alike(const rule_t *a, const rule_t *b);
int group_same_state(const group_t *a, const group_t *b);
int group_shares(const group_t *g);        /* with anybody */
int group_reads(const group_t *g);         /* another's */
slice_t group_lead_name(const group_t *g); /* as stored; s == NULL: it has a state of its own */
/* Forgets who reads whose state; what is stored stays. */
void group_alone(group_t *g);
/* From now on g reads lead's state, as is stored already; NULL: nobody's. */
void group_lend(group_t *g, group_t *lead);
/* The same, with what is stored: g's own state, which equals lead's, goes. */
void group_join(group_t *g, group_t *lead);
/* g goes its own way: with a copy of its lead's state, or, where others read its own, one of them takes a copy for all. */
void group_part(group_t *g);

size_t group_open_windows(const group_t *g); /* groups of windows that have not fired */
etime_t group_next_end(
    const group_t *g); /* end of the window that fires next (of a session: at the earliest); ETIME_MAX: none */
#endif
