/* watermark: how far event time has come, for one source and where inputs merge.
 *
 * A source's watermark is the minimum over its partitions of (greatest event time seen - bound), idle partitions left
 * out; when all are idle the maximum is flushed. It never goes back. A partition that returns from idleness counts again
 * at once, and only holds the watermark. Where a rule reads several inputs a valve takes the minimum over them; an input
 * that returns behind what was given out is ignored until it has caught up. Pure: no clock, no I/O. One thread. */
#ifndef ANANAS_WATERMARK_H
#define ANANAS_WATERMARK_H
#include "buf.h"
#include "clock.h"

typedef struct wm_partition {
    int32_t topic, partition; /* topic: index into the task's topic names */
    etime_t max_time;         /* ETIME_MIN: nothing seen */
    int idle;
    int64_t records; /* seen by this process */
    int64_t bad;     /* could not be used, likewise; counted by the owner */
} wm_partition_t;

typedef struct watermark {
    int64_t bound;         /* ms; WATERMARK_NONE (-1): only explicit watermarks move it */
    wm_partition_t *parts; /* sorted by (topic, partition) */
    uint32_t n;
    uint32_t recent; /* the index that was asked for last: records come in runs of a partition */
    size_t cap;
    etime_t now;        /* what was given out; ETIME_MIN: nothing */
    int idle;           /* every partition is idle */
    int64_t clock_base; /* wall ms when all became idle; -1: not counting */
    etime_t clock_from; /* watermark at that moment */
} watermark_t;

void watermark_init(watermark_t *w, int64_t bound);
void watermark_fini(watermark_t *w);
/* The partition takes part from now on; no change when it does already. Returns its index (until the next add). */
uint32_t watermark_add(watermark_t *w, int32_t topic, int32_t partition);
int watermark_find(const watermark_t *w, int32_t topic, int32_t partition); /* index or -1 */
void watermark_remove(watermark_t *w, int32_t topic, int32_t partition);
/* A row's event time. 1 when `now` or `idle` changed. */
int watermark_row(watermark_t *w, uint32_t part, etime_t time);
int watermark_idle(watermark_t *w, uint32_t part);
int watermark_explicit(watermark_t *w, etime_t at_least);
/* All partitions idle: the watermark goes on with the wall clock. 1 when it moved. */
int watermark_clock(watermark_t *w, int64_t wall_ms);
/* The partition that holds the watermark back: index, or -1 (none active). */
int watermark_holder(const watermark_t *w);
etime_t watermark_of(const watermark_t *w, uint32_t part); /* of one partition; ETIME_MIN: none */
void watermark_save(const watermark_t *w, buf_t *b);
/* Topic numbers may have changed since: remap[i] is today's number of the then i-th topic, -1: no longer read. */
int watermark_load(watermark_t *w, reader_t *r, const int32_t *remap, uint32_t n_remap);

typedef struct valve_input {
    etime_t wm;
    int idle, aligned;
    int heard; /* it has said something */
} valve_input_t;
typedef struct valve {
    valve_input_t *in;
    uint32_t n;
    etime_t now;
    int idle;
    int holds; /* an input that returns from idleness counts at once, as a partition of a source does */
} valve_t;
void valve_init(valve_t *v, uint32_t n);
void valve_fini(valve_t *v);
/* Input i says this; 1 when what the valve gives out changed. */
int valve_put(valve_t *v, uint32_t i, etime_t wm, int idle);
int valve_heard_all(const valve_t *v);
void valve_copy(valve_t *to, const valve_t *from); /* of as many inputs */
void valve_save(const valve_t *v, buf_t *b);
int valve_load(valve_t *v, reader_t *r);
#endif
