/* active_kafka: what a process has while it owns a task: the task, its reader and its checkpoint.
 *
 * Opening fences the owner before, restores state, decides where reading goes on and begins to read. Closing without a
 * commit loses nothing: whoever opens next restores. The thread of the task, but for active_wake. */
#ifndef ANANAS_ACTIVE_KAFKA_H
#define ANANAS_ACTIVE_KAFKA_H
#include "checkpoint.h"
#include "gate.h"
#include "load.h"
#include "observer.h"
#include "rulebox.h"

typedef struct active active_t;

typedef struct active_options {
    const config_t *config;
    slice_t texts; /* of the rules that were loaded last without a fault (texts_save) */
    log_t *log;
    kafka_context_t *kafka;
    member_t *member; /* NULL: no group, offsets are not committed */
    int32_t task;
    observer_t *observer;
    changelog_reader_t **warm; /* state read so far, *warm NULL: none; taken over once it is read to its end */
    rulebox_t *rules;          /* of several tasks, the first has changed rules go round; NULL: nobody does */
    gate_t *gate;              /* passed for what uses the processor; NULL: none */
} active_options_t;

int active_open(active_t **out, const active_options_t *o, error_t *e);
void active_close(active_t *a);
/* One turn: poll, step, write, and commit when the interval is over. ERR_INVALID: cannot go on without a person; other
 * errors: close, and open again. */
int active_turn(active_t *a, error_t *e);
int active_commit(active_t *a, error_t *e);
/* After a commit: the state as a reader that goes on from here, for whoever may need it again. The task is gone then and
 * the rest is to be closed. NULL: it cannot be kept. */
changelog_reader_t *active_keep(active_t *a);
/* Another rule set: takes effect right after the next commit, so that no transaction has output of two sets. Takes over
 * script and plan; a set that waits already is dropped, also for one that runs. */
void active_reload(active_t *a, script_t *script, plan_t *plan);
/* After the group took the task away and gave it back, with a commit before: *same is 1 when the group's offsets are where
 * that commit left them, so that nobody else had the task in between (or is found out by the next transaction). */
int active_rejoin(active_t *a, int *same, error_t *e);
const char *active_version(const active_t *a); /* of the rules that run */
void active_wake(active_t *a);                 /* a turn that waits for records goes on. Any thread */
#endif
