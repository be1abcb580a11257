/* worker: one task of this process, on a thread of its own.
 *
 * Opens the task when it is told to run it, takes turn after turn, and starts again from the last commit after anything
 * indefinite, without the others noticing. Told to pause it commits and keeps what it has, warm: when the group gives the
 * task back, and nobody moved its offsets in between, it goes on at once. Owned by the loop, which is the one thread
 * that calls; nothing here waits but worker_wait and worker_free. */
#ifndef ANANAS_WORKER_H
#define ANANAS_WORKER_H
#include "active_kafka.h"

typedef struct worker worker_t;

/* o->texts and o->kafka are not looked at: the rules come from the box, which outlives the worker. */
worker_t *worker_new(const active_options_t *o, rulebox_t *rules);
void worker_free(worker_t *w); /* without a commit, unless worker_end was carried out */

void worker_run(worker_t *w);      /* the task is this process's, from now on or again */
void worker_pause(worker_t *w);    /* commit, and do nothing */
void worker_stand_by(worker_t *w); /* give up what is not committed; keep the state up to date, as others change it */
void worker_end(worker_t *w);      /* commit and close; nothing comes after it */
/* Until what was told last has been carried out. 0, or why a commit did not succeed. A task that is just being opened is
 * not waited for after a pause: it has nothing to commit, and is closed when it has been opened. */
int worker_wait(worker_t *w, error_t *e);

/* Another rule set, where there is one task: it takes effect after the next commit. Takes over script and plan. */
void worker_reload(worker_t *w, script_t *script, plan_t *plan);
/* Why it cannot go on without a person (ERR_INVALID, or worse); 0: it can. */
int worker_failure(worker_t *w, error_t *e);
/* 1 and the version of the rules that it runs; 0: it has no task open, and the version is that which the owner is known to
 * run, or empty. */
int worker_version(worker_t *w, char *out, size_t size);
#endif
