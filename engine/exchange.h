/* exchange: what stands between the two halves of a rule, where several tasks share the work.
 *
 * The upstream half (unnest and where) runs where the rows are; what it lets pass leaves for the task that its
 * distribution columns point to (placement.h), each row behind the watermark it is to be judged by. The downstream half
 * (operator and what follows) reads what came from all tasks, under the least of their watermarks: those are state, saved
 * with the task's meta record; everything else is made anew with each step or interval. Where aggregates merge, rows are
 * added up here until the interval closes (group.h). One thread (the task's). */
#ifndef ANANAS_EXCHANGE_H
#define ANANAS_EXCHANGE_H
#include "dispatch.h"
#include "group.h"
#include "placement.h"
#include "watermark.h"

typedef struct exchange exchange_t;
/* rule, place and dispatch are borrowed. */
exchange_t *exchange_new(const rule_t *rule, const place_t *place, dispatch_t *d, reign_t reign);
void exchange_free(exchange_t *x);
const place_t *exchange_place(const exchange_t *x);
/* Rows before `until` belong to a version of the rule that leaves, which has its keys elsewhere. Oldest first; copies. */
void exchange_route(exchange_t *x, etime_t until, const place_t *place);
valve_t *exchange_valve(exchange_t *x);
uint64_t exchange_shape(const rule_t *rule); /* what both sides must agree on */

/* A step begins: nothing was received yet. */
void exchange_begin(exchange_t *x);
/* While frames are read: rows whose columns are these come (a number for exchange_row); rows and partials of a tick; what
 * task `from` says of its stream. exchange_level is 1 when that moved the watermark. */
int exchange_columns(exchange_t *x, arena_t *a, const parcel_stream_t *s);
void exchange_row(exchange_t *x, int columns, const origin_t *o, uint32_t sub, const cell_t *cells, uint32_t tick);
int exchange_ends_at(const exchange_t *x, uint32_t tick); /* 1: the last row that came is of this tick */
void exchange_partial(exchange_t *x, const group_partial_t *p);
int exchange_level(exchange_t *x, uint32_t from, parcel_level_t level, uint32_t tick);

/* Sends the stream's rows, and turns it into the stream of what came; at most once a step, further calls only give the
 * latter. plain: nothing is added up and rows bring all they have (other versions of the rule read them too). 0, or
 * ERR_RUNAWAY when a function of the rule overran; the stream is good also then. */
int exchange_pass(exchange_t *x, step_t *s, stream_t *stream, int plain);
/* What came to be merged in this step; for group_take. */
const group_partial_t *exchange_partials(const exchange_t *x, uint32_t *n);

/* The interval closes: what was added up, then how far the stream has come, to every task that was not told yet. */
void exchange_close(exchange_t *x, arena_t *a);
int exchange_unsent(const exchange_t *x);
/* Nothing that was gathered or told since the last commit happened. */
void exchange_drop(exchange_t *x);

typedef struct exchange_stats {
    uint64_t rows, gathered, partials; /* sent one by one; added up; sent instead of the latter */
} exchange_stats_t;
const exchange_stats_t *exchange_stats(const exchange_t *x);
#endif
