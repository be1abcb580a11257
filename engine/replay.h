/* replay: the engine over bounded input, from first event to last.
 *
 * Drives a task with a source until it ends and writes what comes out to a sink; used by replay, diff and the tests of
 * rules. Deterministic: the same events give the same output whatever the sizes of steps. One thread. */
#ifndef ANANAS_REPLAY_H
#define ANANAS_REPLAY_H
#include "load.h"
#include "task.h"

typedef struct replay {
    const config_t *config;
    log_t *log;
    task_t *task;
    source_t *source;
    sink_t *sink;
    wall_t now;       /* wall clock for max_ahead */
    buf_t *ends;      /* NULL, or where the partitions of live topics end: filled by the first run, kept by the next */
    etime_t since;    /* windows that began before it are not emitted; ETIME_MIN: all are */
    int flush;        /* the end of the input closes what is open */
    double seconds;   /* out: how long it took */
    uint64_t written; /* out: records written */
    mono_t started, shown; /* progress on a terminal */
    int show_progress;
    profile_t *profile; /* NULL: nothing is measured */
} replay_t;

/* Of the task of a replay. */
task_options_t replay_options(const config_t *c, log_t *log);
/* 0 or a negative error. */
int replay_run(replay_t *r, error_t *e);
#endif
