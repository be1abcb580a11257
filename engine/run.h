/* run: the sidecar's loop.
 *
 * Joins the group, and while this process owns the task: restore, then poll, step, write, commit; hands over when the
 * group says so; stops on request with a last commit. Recovers from anything indefinite by throwing the checkpoint away
 * and restoring. One thread; the watcher of rules and the clients of Kafka have their own. */
#ifndef ANANAS_RUN_H
#define ANANAS_RUN_H
#include "load.h"
#include "observer.h"

typedef struct run_options {
    log_t *log;
    const config_t *config;
    const plan_t *plan;        /* for the topics it writes to */
    const char *rules;         /* path, to watch and to load again */
    const rule_texts_t *texts; /* as they were loaded from there */
    int grouped;               /* 0: no group, no committed offsets (the demo's embedded broker) */
    int topics_exist;          /* 1: nothing is made on the broker */
    observer_t *observer;      /* is told what happens (terminal, HTTP); may be NULL */
} run_options_t;

/* Exit status. Signals: SIGTERM and SIGINT stop, SIGHUP reloads. */
int run_engine(const run_options_t *o);
#endif
