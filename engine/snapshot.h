/* snapshot: what the process does, for everybody who is not on its threads.
 *
 * The publisher is an observer: it keeps what only the course of events tells (since when a partition holds the watermark
 * back, how long commits take), has a shot of each task taken (shot.h) and puts out, a few times a second, all of them as
 * one immutable snapshot. Others take the newest one under a lock that is held for a pointer's time, look at it as long as
 * they like, and drop it. The publisher outlives the loop and its readers. Its observer is called through observers.h; any
 * thread may call the rest. */
#ifndef ANANAS_SNAPSHOT_H
#define ANANAS_SNAPSHOT_H
#include "arena.h"
#include "log.h"
#include "observer.h"
#include "task_view.h"

#define SNAPSHOT_BUCKETS 12
#define SNAPSHOT_HISTORY 60      /* points of a rule's counts over time */
#define SNAPSHOT_HISTORY_MS 5000 /* one point is this long */

typedef enum { PHASE_STARTING, PHASE_STANDBY, PHASE_RESTORING, PHASE_ACTIVE } phase_t;

typedef struct histogram {
    uint64_t counts[SNAPSHOT_BUCKETS + 1]; /* not cumulative; the last is above all bounds */
    double sum;                            /* seconds */
    uint64_t n;
} histogram_t;
extern const double snapshot_bounds[SNAPSHOT_BUCKETS];       /* seconds, of what the engine does */
extern const double snapshot_delay_bounds[SNAPSHOT_BUCKETS]; /* seconds, of how old output is */

#define SNAPSHOT_VERDICTS 7
extern const char *const snapshot_verdicts[SNAPSHOT_VERDICTS];

typedef struct snapshot_partition {
    const char *topic;
    int32_t partition;
    int32_t task; /* that reads it */
    int idle;
    etime_t max_time, watermark; /* ETIME_MIN: none */
    uint64_t records, bad;       /* rows of event time seen by this process; records that could not be used */
    int64_t next, lag;           /* -1: not known */
    wall_t moved;                /* its event time last rose, or this process began */
} snapshot_partition_t;

typedef struct snapshot_level { /* of a source, at one of several tasks */
    int here;                   /* 1: this process has the task, and looked at it */
    int heard, idle;            /* heard 0: nothing is known of it yet */
    etime_t watermark;          /* of another's: as it last said */
} snapshot_level_t;

typedef struct snapshot_source {
    const char *name;
    source_stats_t stats;
    etime_t watermark;
    int idle;
    int explicit_only; /* watermark = "none" */
    int holds;         /* when all partitions are idle its event time stands still */
    int holder;        /* index of the partition that holds it back, -1: none */
    int elsewhere;     /* task of another process that holds it back further; -1: none. See snapshot_holder */
    wall_t held_since; /* that one does so since */
    wall_t heard_at;   /* elsewhere: when it last said that it has come further */
    snapshot_level_t *levels;
    uint32_t n_levels; /* tasks; 0: there is only one */
    snapshot_partition_t *parts;
    uint32_t n_parts;
} snapshot_source_t;

/* The partition that holds the source back; NULL: none does, or a task that is not here holds it back further. */
static inline const snapshot_partition_t *snapshot_holder(const snapshot_source_t *s) {
    return s->elsewhere < 0 && s->holder >= 0 ? &s->parts[s->holder] : NULL;
}

typedef struct snapshot_rule {
    const char *name, *file, *to, *version; /* to NULL: only feeds other rules */
    int line, shadow;
    rule_stats_t stats;
    rule_view_t view;                   /* its strings are the snapshot's, too */
    const char *error;                  /* last one; "" : none */
    uint64_t error_count;               /* since the rule's text is what it is */
    const uint8_t *sources;             /* [i] = 1: its rows come, through other rules or not, from source i */
    uint32_t history[SNAPSHOT_HISTORY]; /* emitted per SNAPSHOT_HISTORY_MS, oldest first; the last is not over */
} snapshot_rule_t;

typedef struct snapshot_task {
    int32_t task;
    phase_t phase;       /* PHASE_RESTORING or PHASE_ACTIVE */
    const char *version; /* of the rules it runs; NULL: not known yet */
} snapshot_task_t;

typedef struct snapshot {
    arena_t arena;
    int refs;        /* under the publisher's lock */
    uint64_t number; /* from 1; the next one has the next */
    phase_t phase;
    wall_t at, started, phase_since;
    const char *version; /* of the rule set; "" while standing by */
    int64_t parallelism;
    snapshot_task_t *tasks; /* of this process */
    uint32_t n_tasks;
    snapshot_source_t *sources;
    uint32_t n_sources;
    snapshot_rule_t *rules;
    uint32_t n_rules;
    uint64_t state_bytes, state_entries, state_max, script_bytes, script_max;
    uint64_t reloads_ok, reloads_failed;
    uint64_t verdicts[SNAPSHOT_VERDICTS]; /* of all reloads */
    int reload_ok;                        /* of the last one */
    wall_t reload_at;                     /* 0: there was none */
    const char *reload_text;
    const char *foreign; /* the rule set that the group runs, where it is not that of this process; NULL: it is */
    uint64_t commits, rollbacks;
    histogram_t commit_time, step_time;
    histogram_t delay; /* from an anomaly's event time to its commit */
    double budget;     /* seconds of CPU time that an evaluation may take */
} snapshot_t;

typedef struct publisher publisher_t;
publisher_t *publisher_new(const config_t *config, log_t *log);
void publisher_free(publisher_t *p);
observer_t *publisher_observer(publisher_t *p);

const snapshot_t *snapshot_take(publisher_t *p);
void snapshot_drop(publisher_t *p, const snapshot_t *s);
void publisher_ask_reload(publisher_t *p);
uint64_t publisher_reloads(publisher_t *p); /* finished ones, good or bad; counted before they are shown */
#endif
