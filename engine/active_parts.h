/* active_parts: the body of what a process has while it owns a task, shared by its files.
 *
 * active_open_kafka.c opens it and decides where reading goes on, active_kafka.c turns, commits and closes, parallel.c has
 * what one of several tasks does besides. Nobody else includes this. The thread of the task. */
#ifndef ANANAS_ACTIVE_PARTS_H
#define ANANAS_ACTIVE_PARTS_H
#include "active_kafka.h"
#include "parallel.h"

#define ACTIVE_SLICE 512   /* events of a step, or nearly twice as many: they stay in the cache of the core */
#define ACTIVE_EVENTS 2048 /* of a poll where the next slice is decoded meanwhile, else it is one slice */

struct active {
    active_options_t o;
    char **topics; /* of the sources, sorted; then, where tasks exchange rows, the repartition topic; NULL-terminated */
    int32_t n_inputs;  /* topics of sources */
    char *repartition; /* name of that topic; NULL: there is one task */
    task_t *task;
    source_t *source;
    checkpoint_t *checkpoint;
    event_t *events;
    int ahead; /* there is a thread to decode on, beside the client's and this one */
    mono_t committed_at;
    parallel_t *parallel;     /* NULL: there is one task */
    int polled;               /* it knows its partitions */
    int uncommitted;          /* something happened since */
    int unwritten;            /* what there is to go back to is in no commit yet: where reading began */
    int new_rules;            /* nothing of the rule set that runs was committed yet */
    int had_leaving;          /* versions of rules were handing over at the last commit */
    script_t *waiting_script; /* a rule set that takes effect after the next commit */
    plan_t *waiting_plan;
    uint64_t records;
    position_t *safe; /* positions at the last commit, to go back to */
    uint32_t n_safe;
    buf_t safe_meta;
    reading_t *readings;
    mono_t told_at; /* the observer, of readings */
};

typedef struct partitions {
    position_t *at;
    uint32_t n;
    size_t cap;
} partitions_t;

static inline int active_is_parallel(const active_t *a) { return a->o.config->parallelism > 1; }

/* Rules from kept texts. */
int active_load(const active_t *a, slice_t texts, script_t **script, plan_t **plan, error_t *e);
/* The task, from rules and what a restore found. Takes over all but `found`. */
int active_make_task(active_t *a, script_t *script, plan_t *plan, store_t *store, const changelog_found_t *found,
                     error_t *e);
/* What is there now is what was committed last. */
void active_remember(active_t *a);
/* The group's committed offsets, RESUME_NONE where there are none. */
int active_committed(const active_t *a, position_t *at, uint32_t n, error_t *e);
/* Right after a commit: other rules run; bounds: see task_reload_at, where there are several tasks. Takes both over. */
void active_switch(active_t *a, script_t *script, plan_t *plan, const frame_bound_t *bounds, uint32_t n);
/* Partitions were added to the input: they are read from their beginning, from the next commit on. */
int active_grow(active_t *a, error_t *e);
#endif
