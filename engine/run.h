/* run: the sidecar's loop.
 *
 * Joins the group, has a worker (worker.h) for every task that this process owns, hands tasks over when the group says
 * so, has changed rules loaded, and stops on request with a last commit of all. The work is the workers', each on its
 * thread; this one only looks on. */
#ifndef ANANAS_RUN_H
#define ANANAS_RUN_H
#include "load.h"
#include "observer.h"

typedef struct run_options {
    log_t *log;
    const config_t *config;
    const plan_t *plan;   /* for the topics it writes to */
    const char *rules;    /* path, to watch and to load again */
    script_t *script;     /* that loaded them; taken over and closed once their texts are kept: tasks have their own */
    int grouped;          /* 0: no group, no committed offsets (the demo's embedded broker) */
    int topics_exist;     /* 1: nothing is made on the broker */
    observer_t *observer; /* is told what happens (terminal, HTTP); may be NULL */
} run_options_t;

/* Exit status. Signals: SIGTERM and SIGINT stop, SIGHUP reloads. */
int run_engine(const run_options_t *o);
#endif
