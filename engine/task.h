/* task: what we own because we hold partitions: decoding, watermarks, the rules' operators and their state.
 *
 * task_step takes a run of input events through every stage and leaves the output records, in order, in an outbox. It
 * does no I/O, and reads the clock only to say how long rules take; no result depends on it: what it computes follows
 * from the events alone. State is in one store; whoever drives the task commits it (task_commit) together with the output
 * and the input position, or rolls it back (task_abort). One thread, the one that calls; task_report may be read through its own lock by others.
 *
 * With parallelism N there are N tasks. Each has some partitions of the sources and runs all rules; rows whose key may be
 * another task's leave it as OUT_FRAME records and come to it as EVENT_FRAME events, task i's through partition i of the
 * repartition topic. Frames belong to the transaction like all output: what a commit does not write never was sent. */
#ifndef ANANAS_TASK_H
#define ANANAS_TASK_H
#include "frame.h"
#include "merge.h"
#include "profile.h"
#include "sink.h"
#include "source.h"
#include "watermark.h"

typedef struct task task_t;

typedef struct task_options {
    const config_t *config; /* outlives the task */
    log_t *log;
    script_limits_t limits;      /* for scripts the task opens itself, after a runaway */
    store_t *store;              /* restored state, taken over; NULL: it starts with none */
    profile_t *profile;          /* outlives the task; NULL: nothing is measured */
    int ahead;                   /* a second thread may be had for decoding */
    int32_t number, parallelism; /* task 0..parallelism-1; parallelism 0 or 1: nothing is exchanged */
    /* Headers of a record by its `own`, see headers_kafka_list; NULL where no record has one. */
    uint32_t (*own_headers)(const void *own, arena_t *a, uint32_t more, header_t **out);
} task_options_t;

/* Takes over script and plan (both were loaded by script_load_rules for this configuration). */
task_t *task_new(const task_options_t *o, script_t *script, plan_t *plan);
void task_free(task_t *t);
store_t *task_close(task_t *t); /* frees all but its state, which is the caller's then */

/* The events of one poll, numbered as ticks. wall: bounds max_ahead. 0, or ERR_INVALID where a source's on_bad_record is
 * "stop" and there was one (*e says which); then the outbox holds what came before. */
int task_step(task_t *t, const event_t *events, uint32_t n, wall_t wall, error_t *e);
/* The same in two: what was begun to be decoded ahead is decoded on another thread, where the task may have one, while the
 * step before it is carried out by task_next. Two steps may be begun at a time; their events stay until the second task_begin after. While
 * one is begun the task is not reloaded or rolled back, and a step that stopped drops the one behind it. */
void task_begin(task_t *t, const event_t *events, uint32_t n, wall_t wall, int ahead);
int task_next(task_t *t, error_t *e);
void task_drop(task_t *t); /* what was begun is not carried out */

/* ---- parallelism above 1; all of these are 0 or do nothing without ---- */

int task_has_exchanges(const task_t *t); /* 1: frames come and go */
/* Before a commit: leaves what has gathered since the last one (rows, partial aggregates, watermarks) in the outbox, as a
 * step does. Nothing may be stepped between it and the commit. */
void task_close_interval(task_t *t);
/* 1: closing the interval would send something, so that a commit is due though nothing else changed. */
int task_unsent(const task_t *t);
/* 1: not every task was heard of yet. Until then only frames are to be given, no event of a source but EVENT_PARTITION, or
 * what is late would depend on who starts first. */
int task_waits(const task_t *t);
/* How often all tasks must commit one after the other, sources standing still, until nothing is on its way between them. */
uint32_t task_rounds(const task_t *t);
/* End of bounded input: every watermark goes to +infinity. */
int task_finish(task_t *t, error_t *e);
const outbox_t *task_outbox(const task_t *t); /* of the last step; valid until the next, or the second that is begun */

/* Windows that began before this event time are not emitted: history was read from there on, so they lack rows. */
void task_since(task_t *t, etime_t since);

/* Another rule set takes effect between two steps. Takes over script and plan. */
void task_reload(task_t *t, script_t *script, plan_t *plan);
/* The same with the ends that rules hand over at, since all tasks must use one: the greatest that any of them says of the
 * rule. Rules that are not listed have nothing open anywhere. */
void task_reload_at(task_t *t, script_t *script, plan_t *plan, const frame_bound_t *bounds, uint32_t n);
/* The greatest end of a window of the rule, of all its versions; ETIME_MIN: none, or no such rule. */
etime_t task_last_end(const task_t *t, slice_t rule);

void task_commit(task_t *t);
void task_abort(task_t *t);
store_t *task_store(task_t *t);
/* After state was put into the store from outside: operators make their indexes again. */
void task_rebuild(task_t *t);
/* Rule texts that a meta record may refer to, before task_load_meta; those that nothing refers to go with task_settle. */
void task_add_texts(task_t *t, const rule_texts_t *texts);
void task_settle(task_t *t);
/* Versions of the rule sets that anything open belongs to, the one that runs first: i = 0, 1, ...; NULL: no more. */
const char *task_version(const task_t *t, uint32_t i, const rule_texts_t **texts);
void task_save_meta(const task_t *t, buf_t *b);              /* watermarks, idleness, versions that hand over */
int task_load_meta(task_t *t, reader_t *r, uint32_t format); /* the record's, see STATE_FORMAT */
/* Are versions of rules still leaving? Then an abort is not enough to go back: the task has to be made again. */
int task_hands_over(const task_t *t);
void task_say_quarantined(task_t *t); /* rules that were stopped before this process had the task */

const plan_t *task_plan(const task_t *t);
const rule_texts_t *task_texts(const task_t *t);   /* of the rules that run */
const char *const *task_topics(const task_t *t);   /* sorted; NULL-terminated */
int32_t task_topic(const task_t *t, slice_t name); /* index or -1 */
/* The sorted topic names of a configuration, NULL-terminated; the list is the caller's, the strings are not. */
char **task_topics_new(const config_t *c);
int32_t task_topics_find(const char *const *topics, slice_t name);
/* Partition-level progress for lag, /rules and metrics. */
uint32_t task_n_sources(const task_t *t);
const watermark_t *task_watermark(const task_t *t, uint32_t source);

typedef struct source_stats {
    uint64_t records, bad, tombstones, bytes;
} source_stats_t;
typedef struct last_error {
    char text[600];
    uint64_t count;
} last_error_t;
const source_stats_t *task_source_stats(const task_t *t, uint32_t source);
const rule_stats_t *task_rule_stats(const task_t *t, uint32_t rule);
const last_error_t *task_rule_error(const task_t *t, uint32_t rule);
uint64_t task_bad_lines(const task_t *t);
etime_t task_low_watermark(const task_t *t); /* minimum over sources; ETIME_MIN: none yet */
#endif
